# Two images. Both hold the default model, so they start without a network.
#
#   docker build -t prunellm .                        for any x86-64 machine; uses its vector instructions
#   docker build -t prunellm:cuda --target cuda .     for NVIDIA GPUs (never built as an image; docs/operate/gpu.md says which parts ran)
#
#   docker run -p 127.0.0.1:8080:8080 -v prunellm:/var/lib/prunellm -v $PWD/keys:/keys:ro prunellm \
#       serve --addr 0.0.0.0:8080 --api-key-file /keys
#
# In the CPU image the binary is baseline x86-64, and ggml loads the library for the machine's best vector instructions.
# Packages have no pinned versions, because mirrors drop a version with the next security fix.
FROM golang:1.26-bookworm AS source
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
        cmake libeigen3-dev libstb-dev ninja-build nlohmann-json3-dev python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV PRUNELLM_HOME=/opt/prunellm
COPY go.mod go.sum ./
RUN go mod download
# Fetched files change rarely, so they have a layer of their own.
COPY scripts/env ./scripts/
COPY scripts/setup/install scripts/setup/requirements.txt ./scripts/setup/
COPY infer/llamacpp/include ./infer/llamacpp/include
RUN scripts/setup/install

FROM source AS build
COPY . .
ARG VERSION=unknown
RUN WORK=/tmp/portable VERSION=$VERSION scripts/build/portable /opt/dist

FROM nvidia/cuda:13.0.2-devel-ubuntu24.04 AS cuda-libraries
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake ninja-build patch \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /tmp/portable/CMakeLists.txt /tmp/portable/CMakePresets.json /tmp/ggml/
COPY --from=build /tmp/portable/ml /tmp/ggml/ml
COPY scripts/build/cuda /tmp/prunellm/scripts/build/
COPY scripts/build/ggml-cuda /tmp/prunellm/scripts/build/ggml-cuda
# 80: A100, 86: A10 and RTX 30, 89: L4 and RTX 40, 90: H100 and H200.
ARG CUDA_ARCHITECTURES=80;86;89;90
# CUDA's own libraries must be in the folder in which the backend looks for them.
RUN GGML_SOURCES=/tmp/ggml WORK=/tmp/work /tmp/prunellm/scripts/build/cuda /tmp/lib/ollama/cuda_v13 \
    && mkdir -p /opt/dist/lib/ollama && cp -rL /tmp/lib/ollama/cuda_v13 /opt/dist/lib/ollama/

FROM nvidia/cuda:13.0.2-base-ubuntu24.04 AS cuda
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends bash ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/prunellm --create-home prunellm
COPY --from=build /opt/dist /opt/dist
COPY --from=cuda-libraries /opt/dist/lib /opt/dist/lib
COPY --from=source /opt/prunellm/models /opt/prunellm/models
# Scores run on the CPU unless a CUDA plugin of XLA is added here.
COPY --from=source /opt/prunellm/pjrt /opt/prunellm/pjrt
ENV PRUNELLM_HOME=/opt/prunellm PRUNELLM_CACHE_DIR=/var/lib/prunellm PATH=/opt/dist/bin:$PATH
USER 10001
WORKDIR /var/lib/prunellm
VOLUME /var/lib/prunellm
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
ENTRYPOINT ["prunellm"]
CMD ["serve", "--addr", "127.0.0.1:8080"]

FROM debian:bookworm-slim AS cpu
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/prunellm --create-home prunellm
COPY --from=source /opt/prunellm/models /opt/prunellm/models
COPY --from=source /opt/prunellm/pjrt /opt/prunellm/pjrt
COPY --from=build /opt/dist /opt/dist
ENV PRUNELLM_HOME=/opt/prunellm PRUNELLM_CACHE_DIR=/var/lib/prunellm PATH=/opt/dist/bin:$PATH
# A number instead of a name, so that Kubernetes can verify that the user is not root.
USER 10001
WORKDIR /var/lib/prunellm
VOLUME /var/lib/prunellm
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
ENTRYPOINT ["prunellm"]
CMD ["serve", "--addr", "127.0.0.1:8080"]
