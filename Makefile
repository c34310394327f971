# relayctl. make help lists what there is to make.

VERSION  := $(shell cat VERSION)
PROGRAMS := relay-host relay-server relay-worker
ARCHES   := amd64 arm64
PAYLOAD  := internal/payload/programs

# The same tree gives the same bytes, wherever it is built.
GOBUILD  := CGO_ENABLED=0 go build -trimpath -buildvcs=false
LDFLAGS  := -s -w -buildid= -X main.version=$(VERSION)

# How many labs stand at once: two on each of two processors keep these busy.
LABS     ?= 4

# The race detector needs a C compiler.
RACE     := $(if $(shell command -v gcc),-race)

# Tests write small files by the thousand, and wait for each to be on the disk:
# where memory has room and may hold programs, they do it there.
INMEMORY := $(shell findmnt --noheadings --output OPTIONS /dev/shm 2>/dev/null | grep --quiet --invert-match noexec && \
	[ -w /dev/shm ] && [ "$$(df --output=avail /dev/shm | tail -n 1)" -gt 4000000 ] && echo TMPDIR=/dev/shm)

.DEFAULT_GOAL := help
.PHONY: help build programs test unit reproducible e2e lint fmt bench demo lab lab-ready clean vulnerable

help: ## show this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: programs ## build bin/relayctl with the programs for hosts inside
	$(GOBUILD) -tags release -ldflags '$(LDFLAGS)' -o bin/relayctl ./cmd/relayctl

programs:
	@for arch in $(ARCHES); do \
		GOOS=linux GOARCH=$$arch $(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/programs/$$arch/ $(PROGRAMS:%=./cmd/%) || exit 1; \
	done
	@go run ./internal/payload/pack $(VERSION) bin/programs $(PAYLOAD)

test: lab-ready lint build unit reproducible e2e ## pass all tests, on real hosts of the lab (root)

# What go test would vet, lint does.
unit:
	$(INMEMORY) go test -vet=off $(RACE) $$(go list ./... | grep -v '/test/')
	go test -vet=off -tags release ./internal/payload/...

# Another folder, another cache, another time: nothing of these may show.
reproducible: build ## build once more elsewhere and compare (about a minute)
	@dir=$$(mktemp -d) && trap 'chmod -R u+w '$$dir' && rm -rf '$$dir EXIT && \
	tar --exclude=./.git --exclude=./bin --exclude=./$(PAYLOAD) -c . | tar -x -C $$dir && \
	GOCACHE=$$dir/.cache $(MAKE) -s -C $$dir build && \
	cmp bin/relayctl $$dir/bin/relayctl && echo "two builds, the same bytes"

e2e: lab-ready
	go test -count=1 -timeout 60m -p 1 -parallel $(LABS) ./test/...

lint: ## look for what is not as it should be
	@test -z "$$(gofmt -l .)" || { echo "not formatted, make fmt does it:"; gofmt -l .; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	@$(MAKE) -s vulnerable

# What is known against the libraries, and called by our code. The database is
# not in everybody's reach: then this says so and goes on. VULNDB is another one.
vulnerable:
	@said=$$(go tool govulncheck $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1); code=$$?; \
	case "$$code$$said" in \
	0*) ;; \
	1*"fetching vulnerabilities"*) echo "not looked for known vulnerabilities: $${said##*: }" ;; \
	*) echo "$$said"; exit 1 ;; \
	esac

fmt: ## format the code
	gofmt -w .

bench: ## measure, each figure beside what it is compared with (3 minutes; ANSIBLE=1: Ansible, too)
	go test -run '^$$' -bench . -benchtime 7x ./bench
	go test -run '^$$' -bench . -benchtime 4s -count 3 ./internal/relay

demo: build lab-ready ## boot a small lab, apply a stack to it, stream an answer (root)
	go run ./test/demo

lab: lab-ready ## boot hosts to play with and say how to reach them (root)
	go run ./test/lab/cmd/lab up

lab-ready:
	@go run ./test/lab/cmd/lab check
	@go run ./test/lab/cmd/lab install

clean: ## remove what was built, and hosts left up
	rm -rf bin $(PAYLOAD)
	@if [ "$$(id -u)" = 0 ]; then go run ./test/lab/cmd/lab down; fi
