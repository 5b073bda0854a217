# make demo | test | lint | prove | bench | bench-quick | docs
# Everything runs in a virtual environment of its own, .venv; Debian packages are installed by name, as root only.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The system's python where it is new enough: an ordinary user, whom some tests play, can run that one too.
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo python3)

# What the programs need, and what the tests compare us with.
APT_DEMO := python3 python3-venv
APT_TEST := $(APT_DEMO) docker.io docker-registry skopeo umoci buildah runc crun uidmap passt mmdebstrap busybox-static \
	nftables iptables iproute2 strace attr libcap2-bin openssh-client qemu-user-static procps git xz-utils zstd bzip2 gcc libc6-dev util-linux tmux

.PHONY: help demo test lint prove bench bench-quick docs apt-demo apt-test clean

help:
	@grep -E '^# make' Makefile

# Only what is missing is installed, so a second run costs a dpkg-query.
define apt_install
	@missing=""; for package in $(1); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then \
			echo "installing:$$missing"; \
			export DEBIAN_FRONTEND=noninteractive; \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else \
			echo "not installed, and only root can install:$$missing" >&2; \
		fi; \
	fi
endef

# A daemon that the package would start at boot is not wanted: tests start their own, on private sockets.
apt-test:
	@if [ "$$(id -u)" = 0 ] && [ ! -e /usr/sbin/policy-rc.d ]; then \
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d; \
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT; \
	fi; \
	$(MAKE) --no-print-directory apt-test-packages

.PHONY: apt-test-packages
apt-test-packages:
	$(call apt_install,$(APT_TEST))

# python3 may be there without ensurepip (Debian keeps it in python3-venv); a python of the user's own needs no package.
apt-demo:
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory apt-demo-packages

.PHONY: apt-demo-packages
apt-demo-packages:
	$(call apt_install,$(APT_DEMO))

$(VENV)/.runtime: pyproject.toml | apt-demo
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | apt-demo
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime
	@BIN=$(BIN) bash examples/demo.sh

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy --strict builder grammar runtime
	$(BIN)/lint-imports

test: apt-test lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests

# A browser for the report, and npm for axe-core, which tells what of a page is hard to use; npm is Debian's unless there is one.
.PHONY: apt-prove
apt-prove:
	$(call apt_install,chromium qemu-system-x86 $(if $(shell command -v npm),,npm))

AXE := $(VENV)/axe/node_modules/axe-core/axe.min.js

$(AXE): $(VENV)/.dev | apt-prove
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/axe axe-core@4 || echo "axe-core cannot be had; its tests are left out" >&2

# The slow half: kill -9 at random moments, fuzzing at length, full disks, other kernels, the report in a browser.
prove: apt-test apt-prove $(VENV)/.dev $(AXE)
	LAYERWRIGHT_PROVE=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --timeout 1800 tests

bench: apt-test $(VENV)/.dev
	$(BIN)/python -m bench

bench-quick: apt-test $(VENV)/.dev
	$(BIN)/python -m bench --quick

# The reference of commands is made from their own help.
docs: $(VENV)/.dev
	$(BIN)/python -m tests.project.cli_reference

clean:
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
