# A CPU image that runs at native speed on every x86-64 machine: the binary is baseline x86-64, and ggml loads the library
# of the best vector level it finds. Holds the default model and XLA's CPU plugin, so that it starts without a network.
#
#   docker build -t prunellm .
#   docker run -p 8080:8080 -v prunellm:/var/lib/prunellm -v $PWD/keys:/keys:ro prunellm serve --addr 0.0.0.0:8080 --api-key-file /keys
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        cmake libstb-dev ninja-build nlohmann-json3-dev python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV PRUNELLM_HOME=/opt/prunellm
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN scripts/setup
RUN WORK=/tmp/portable VERSION=$VERSION scripts/build-portable /opt/dist

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/prunellm --create-home prunellm
COPY --from=build /opt/dist /opt/dist
COPY --from=build /opt/prunellm/models /opt/prunellm/models
COPY --from=build /opt/prunellm/pjrt /opt/prunellm/pjrt
ENV PRUNELLM_HOME=/opt/prunellm PRUNELLM_CACHE_DIR=/var/lib/prunellm PATH=/opt/dist/bin:$PATH
USER prunellm
WORKDIR /var/lib/prunellm
VOLUME /var/lib/prunellm
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"]
ENTRYPOINT ["prunellm"]
CMD ["serve", "--addr", "127.0.0.1:8080"]
