# Two commands: `make run` shows the main job on a real clip, `make test` runs
# every test. Both install what is missing. `make` alone lists the rest.

export GOTOOLCHAIN := local
# The same flags for builds, checks and tests, so that nothing is compiled for each of
# them anew.
export GOFLAGS := $(filter-out -trimpath,$(shell go env GOFLAGS 2>/dev/null)) -trimpath
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The usual build has its loops over pixels in C; CGO_ENABLED=0 has them in Go. Go
# itself would fall back to that without a word where there is no compiler.
CGO_ENABLED ?= 1
GO_BUILD := go build -ldflags '-X main.version=$(VERSION)'

# What the program and the pages are made of. Folders are listed too: their time
# changes when a file goes away.
GO_SOURCES := go.mod go.sum $(shell find cmd internal -name testdata -prune -o -path internal/console/dist -prune -o \
	\( -type d -o -type f ! -name '*_test.go' \) -print)
WEB_SOURCES := $(shell find web -name node_modules -prune -o \( -type d -o -type f \) -print)

# npm writes this file last, so it says when an install was complete.
NPM_DONE := node_modules/.package-lock.json
E2E_NPM := $(if $(wildcard test/e2e/package-lock.json),test/e2e/$(NPM_DONE))
E2E_NODE := $(shell find test -name node_modules -prune -o -name '*.test.mjs' -print 2>/dev/null)
E2E_GO := $(shell find test -name node_modules -prune -o -name '*.go' -print 2>/dev/null)

TESTSUM := build/testsum

# What tests of live streams push and play with, besides ffmpeg.
gstreamer := gstreamer1.0-tools gstreamer1.0-rtsp gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly

# What runs tests of another processor: its machine in software, its C.
arm64 := qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross

# Real servers that tests talk to, besides Debian's PostgreSQL.
PEERS := build/versitygw build/pebble build/pebble-challtestsrv

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

##### The program

.PHONY: run
run: build ## start the whole cloud (IN=file gives it a video), and say where it is
	scripts/need.sh ffmpeg
	scripts/run.sh $(if $(IN),'$(IN)')

.PHONY: build
build: bin/liuyun ## build the pages and bin/liuyun

bin/liuyun: $(GO_SOURCES) build/pages build/version | compiler
	CGO_ENABLED=$(CGO_ENABLED) $(GO_BUILD) -o $@ ./cmd/liuyun

.PHONY: compiler
compiler:
	@$(if $(filter 1,$(CGO_ENABLED)),scripts/need.sh gcc libc6-dev)

# The time of this file is the last change of version.
build/version: .FORCE
	@mkdir -p build
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@

build/pages: web/$(NPM_DONE) $(WEB_SOURCES)
	cd web && npm run --silent build
	@mkdir -p build
	@touch $@

%/$(NPM_DONE): %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: portable
portable: build/pages ## build without C for linux/amd64 and linux/arm64
	for arch in amd64 arm64; do \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO_BUILD) -o build/portable/liuyun-linux-$$arch ./cmd/liuyun; \
	done

##### Tests

.PHONY: test
test: $(TESTSUM) ## every check and test; installs what they need
	scripts/need.sh ffmpeg chromium fonts-noto-cjk postgresql iproute2 srt-tools nginx varnish $(gstreamer) $(arm64)
	rm -rf build/results
	@. scripts/tmpdir.sh; status=0; \
	$(TESTSUM) step -name build -- $(MAKE) -j2 --output-sync --no-print-directory build build/staticcheck build/h2spec $(PEERS) $(E2E_NPM) || status=1; \
	$(MAKE) --no-print-directory --keep-going check check-arm64 || status=1; \
	$(MAKE) --no-print-directory e2e || status=1; \
	$(TESTSUM) total || status=1; \
	exit $$status

CHECKS := check-format check-vet check-static check-arch check-tools check-unit check-portable check-web
.PHONY: check $(CHECKS)
check: $(CHECKS) ## what to run before a commit: format, vet, static, layers, unit tests, pages

check-format: $(TESTSUM)
	@$(TESTSUM) step -name format -- bash -c 'files=$$(gofmt -l cmd internal tools $(wildcard bench client) $(E2E_GO)); echo -n "$${files:+not formatted: $$files}"; [ -z "$$files" ]'

check-vet: $(TESTSUM) | compiler
	@$(TESTSUM) step -name vet -- go vet ./...

check-static: $(TESTSUM) build/staticcheck | compiler
	@$(TESTSUM) step -name static -- build/staticcheck ./...
	@$(TESTSUM) step -name static-tools -- bash -c 'cd tools && ../build/staticcheck ./...'

# Never from the cache, which does not see what go list reads.
check-arch: $(TESTSUM)
	@$(TESTSUM) go -name arch -- go test -json -count=1 ./internal/arch

check-tools: $(TESTSUM)
	@$(TESTSUM) go -name tools -- go test -C tools -json ./...

# The detector watches all but SQLite's own C, and the C library below it, which were
# translated into Go: no goroutine of ours is in there without its lock, and watched it
# takes five times as long. Nor does it watch the sums of a network, of which the caller
# that is watched hands over all and takes all. The longest packages go first, so that no
# core waits for one at the end. check-vet has vetted all of them.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc liuyun/internal/av/nn
LONGEST := $(addprefix ./internal/,video/transcode kit/job cli video/compare kit/blob flow/srt edge/cache engine/ffmpeg app control/account flow/window flow/rtsp)
check-unit: export GORACE = atexit_sleep_ms=10
check-unit: $(TESTSUM) $(PEERS) | compiler
	@$(TESTSUM) go -name unit -again 2 -- go test -json -race $(UNWATCHED:%=-gcflags=%=-race=false) -vet=off -timeout=30m \
		$(LONGEST) $$(go list ./bench/... ./cmd/... ./internal/... | grep -v /internal/arch)

check-portable: $(TESTSUM)
	@$(TESTSUM) step -name portable -- env CGO_ENABLED=0 GOARCH=arm64 go build -o /dev/null ./cmd/liuyun
	@$(TESTSUM) go -name twins -- env CGO_ENABLED=0 go test -json -vet=off ./internal/av/quality

# What reckons, on arm64: packages without children, files and the network, and those
# with C once more with it. A machine in software is slow: the rest is built for arm64 by
# check-portable, and runs on x86.
ARM64_PURE := ./internal/base/... ./internal/contract/... ./internal/av/... ./internal/kit/conf ./internal/kit/power ./internal/video/transcode/...
ARM64_ENV := env GOOS=linux GOARCH=arm64

.PHONY: check-arm64
check-arm64: $(TESTSUM) ## unit tests of what reckons, on arm64 under qemu
	@scripts/need.sh $(arm64)
	@status=0; \
	pure=$$(go list $(ARM64_PURE) | grep -v '/transcode$$'); \
	$(TESTSUM) go -name arm64 -- $(ARM64_ENV) CGO_ENABLED=0 go test -json -short -vet=off -timeout=10m -exec qemu-aarch64-static $$pure || status=1; \
	c=$$($(ARM64_ENV) CGO_ENABLED=1 go list -f '{{if .CgoFiles}}{{.ImportPath}}{{end}}' ./internal/...); \
	[ -z "$$c" ] || $(TESTSUM) go -name arm64-c -- $(ARM64_ENV) CGO_ENABLED=1 CC=aarch64-linux-gnu-gcc \
		go test -json -short -vet=off -timeout=10m -exec 'qemu-aarch64-static -L /usr/aarch64-linux-gnu' $$c || status=1; \
	exit $$status

check-web: $(TESTSUM) web/$(NPM_DONE)
	@$(TESTSUM) step -name web-types -- npm --prefix web run --silent check
	@$(TESTSUM) vitest -name web-unit -- npm --prefix web run --silent test --

.PHONY: e2e
e2e: build build/h2spec $(TESTSUM) $(E2E_NPM) ## the built program against players that are not ours
	@scripts/need.sh ffmpeg chromium fonts-noto-cjk postgresql iproute2 srt-tools nginx varnish $(gstreamer)
	@$(if $(E2E_NODE),$(TESTSUM) node -name e2e-node -- node --test $(E2E_NODE))
	@$(if $(E2E_GO),$(TESTSUM) go -name e2e -again 3 -- go test -json -count=1 -vet=off -timeout=25m ./test/e2e ./test/live ./test/...)

.PHONY: fuzz
fuzz: ## each fuzz target for 10 s (FUZZTIME=1m for longer)
	scripts/fuzz.sh $(or $(FUZZTIME),10s)

.PHONY: soak
soak: build $(E2E_NPM) ## five minutes of kills in a cloud that works, as many of a stream (SOAK=30m for longer), a thousand of an edge, and an hour of edges without their control node (ALONE=10m for less), into bench/results
	scripts/need.sh ffmpeg chromium nginx varnish
	LIUYUN_SOAK=$(or $(SOAK),5m) go test -count=1 -timeout 0 -v -run '^TestSoak$$' ./test/cloud
	LIUYUN_SOAK=$(or $(SOAK),5m) go test -count=1 -timeout 0 -v -run '^Test(Soak|Caches)$$' ./test/live
	LIUYUN_SOAK=1 go test -count=1 -timeout 0 -v -run '^TestKilledEdge$$' ./test/edge
	LIUYUN_ALONE=$(or $(ALONE),1h) go test -count=1 -timeout 0 -v -run '^TestAlone$$' ./test/edge

.PHONY: bench
bench: build ## the benchmarks: ratios against named peers, into bench/results
	@$(MAKE) --no-print-directory build/mediamtx || echo 'MediaMTX is not to be had: what is compared with it is left out'
	go run ./bench $(ARGS)

##### The rest

build/testsum: $(wildcard tools/testsum/*.go) tools/go.mod
	go build -C tools -o ../$@ ./testsum

build/staticcheck: tools/go.mod tools/go.sum
	go build -C tools -o ../$@ honnef.co/go/tools/cmd/staticcheck

build/h2spec: tools/go.mod tools/go.sum
	go build -C tools -o ../$@ github.com/summerwind/h2spec/cmd/h2spec

# A real S3 server and a real ACME authority for tests, installed by version, away
# from both go.mod.
build/versitygw:
	GOBIN=$(CURDIR)/build GOFLAGS= go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

build/pebble build/pebble-challtestsrv:
	GOBIN=$(CURDIR)/build GOFLAGS= go install github.com/letsencrypt/pebble/v2/cmd/$(@F)@v2.8.0

# A media server to compare with; its page embeds an hls.js, for which ours stands in.
build/mediamtx: scripts/mediamtx.sh test/e2e/$(NPM_DONE)
	scripts/mediamtx.sh v1.20.1 $@

.PHONY: clean
clean: ## remove all that was built, not what npm installed
	rm -rf bin build run
	find internal/console/dist -mindepth 1 ! -name .gitkeep -delete

.PHONY: .FORCE
.FORCE:
