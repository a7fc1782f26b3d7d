# make run    a real Python function in a real container, from an empty machine
# make test   every test
# make lint   gofmt, go vet, golangci-lint, mypy
# make bench  speed, as ratios against floors and peers measured in the same run
# make build  bin/gx
# make test-gpu  the real cards of this machine, where there are some
# make driver the emulated GPUs' libnvidia-ml.so.1 and nvidia-smi, which are kept as binaries

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X main.version=$(VERSION)
# Containers need root; without it the same commands run under sudo.
AS_ROOT  := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH,GOPATH,GOCACHE,GOMODCACHE,GOFLAGS,GOPROXY,http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,SSL_CERT_FILE,PIP_CERT,PIP_INDEX_URL,PIP_CONFIG_FILE,CI)
VENV     := .cache/venv

.PHONY: run test test-go test-python test-torch lint bench build helper driver test-gpu clean prepare

run: build
	$(AS_ROOT) ./bin/gx run examples/filetypes.py

build: helper
	@./scripts/prepare run
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gx ./cmd/gx

# The program that asks NVIDIA's library needs a C compiler; gx carries it.
HELPER := gpu/nvml/built/gx-nvml-linux-$(shell $(GO) env GOARCH).gz
helper:
	@if [ "$$($(GO) env GOOS)" != linux ] || ! command -v gcc >/dev/null; then rm -f $(HELPER); echo "no C compiler for Linux: this gx will be without support for real GPUs (it emulates them)"; \
	elif [ -z "$$(find gpu/nvml/helper gpu/nvml/protocol go.mod -newer $(HELPER) 2>/dev/null || echo new)" ]; then :; \
	else CGO_ENABLED=1 CGO_CFLAGS=-w $(GO) build -trimpath -ldflags '-s -w' -o bin/gx-nvml ./gpu/nvml/helper && gzip -9nc bin/gx-nvml > $(HELPER) && rm bin/gx-nvml; fi

# On a machine with an NVIDIA card: what gx is told of it, and how it is given.
test-gpu: helper
	$(GO) test -count=1 -v -run 'TestRealCards' ./gpu/nvml/...

driver:
	./emulator/driver/src/all.sh

test: build test-python test-torch test-go

test-go:
	@./scripts/prepare test
	$(AS_ROOT) $(GO) test -race -p 2 -timeout 40m ./...

# The emulator of PyTorch's cards, with a torch that is there: GX_TORCH_PYTHON, or the system's (apt-get install python3-torch).
test-torch: $(VENV)/ready
	./scripts/test-torch $(CURDIR)/$(VENV)/bin/python

test-python: $(VENV)/ready
	cd sdk/python && $(CURDIR)/$(VENV)/bin/python -m pytest -q tests

lint: $(VENV)/ready
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not gofmt-ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./cmd/... ./remote/... ./sdk/... ./app/... ./api/... ./wire/...
	cd sdk/python && $(CURDIR)/$(VENV)/bin/python -m mypy
	./scripts/golangci-lint run ./...

bench: build
	@./scripts/prepare bench
	$(AS_ROOT) $(GO) run ./bench

# The tests' own Python packages, in a throwaway environment.
$(VENV)/ready: sdk/python/requirements-test.txt
	@./scripts/prepare test
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q -r sdk/python/requirements-test.txt
	touch $@

clean:
	rm -rf bin dist .cache
