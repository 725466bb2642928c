# Everything a fresh machine needs is Python 3.11 or newer, pip and make.
#
#   make demo    install the light package (no torch) and segment the sample images into demo-output/
#   make test    install the package for development and run every check
#   make help    all targets

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test lint test-base test-lowest docs reference lock clean

# The first Python on the path that is new enough; `make PYTHON=/path/to/python test` chooses another.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))

PIP := -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find src -type f -not -name '*.pyc' -not -path '*/.*')
WORKERS ?= 2

help:  ## show the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: .venv-base/.installed  ## install the light package and segment the sample images
	.venv-base/bin/nucleate demo -o demo-output

test: .venv/.installed lint  ## every check: style, types, tests
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(WORKERS)

lint: .venv/.installed  ## style and types only
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy -n $(WORKERS)

test-base: .venv-base/.tested-with  ## the tests that need no torch, in the light install, but for long ones that are alike
	OMP_NUM_THREADS=1 .venv-base/bin/python -m pytest -m 'base and not once' -n $(WORKERS)

# The page of verbs is left out: it is worded by the typer of constraints.txt.
test-lowest: .venv-lowest/.installed  ## the same with the oldest versions that pyproject.toml allows
	OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -m 'base and not once' -W default -n $(WORKERS) \
		--deselect tests/test_docs.py::test_reference_shows_every_verb_and_option

docs: .venv/.docs-installed  ## the pages as HTML in docs/_build
	.venv/bin/sphinx-build -W --keep-going -q docs docs/_build

reference: .venv/.installed  ## write the verbs and options into docs/reference/cli.md
	.venv/bin/python docs/reference.py

lock: .venv/.docs-installed  ## print the versions in use, for constraints.txt
	.venv/bin/python -m pip freeze --exclude-editable | sed -E 's/\+[a-z0-9.]+$$//'

clean:  ## remove the environments and everything that was built
	rm -rf .venv .venv-base .venv-lowest build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- environments: a stamp file is newer than what it was made from, so nothing is installed twice -----------------

define new_environment
	@if [ -z "$(PYTHON)" ]; then echo "nucleate needs Python 3.11 or newer; none found on the path: install one, or run make PYTHON=/path/to/python" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "nucleate needs Python 3.11 or newer; got $$($(PYTHON) --version): run make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(1) || { echo "cannot make an environment with $(PYTHON) -m venv; install its venv module (Debian and Ubuntu: python3-venv)" >&2; exit 1; }
endef

.venv/.installed: pyproject.toml constraints.txt
	$(call new_environment,.venv)
	.venv/bin/python $(PIP) -e '.[dev]'
	@touch $@

.venv/.docs-installed: .venv/.installed
	.venv/bin/python $(PIP) -e '.[docs]'
	@touch $@

.venv-base/.dependencies: pyproject.toml constraints.txt
	$(call new_environment,.venv-base)
	.venv-base/bin/python $(PIP) .
	@touch $@

# Not editable, on purpose: what runs here is the wheel, with the weights and sample images that it carries.
.venv-base/.installed: .venv-base/.dependencies $(SOURCES)
	.venv-base/bin/python $(PIP) --no-deps --force-reinstall .
	@touch $@

.venv-base/.tested-with: .venv-base/.installed
	.venv-base/bin/python $(PIP) pytest pytest-xdist hypothesis
	@touch $@

LOWEST := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")
.venv-lowest/.installed: pyproject.toml
	$(call new_environment,.venv-lowest)
	.venv-lowest/bin/python -c '$(LOWEST)' | sed 's/>=/==/' > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-lowest/lowest.txt -e . pytest pytest-xdist hypothesis
	@touch $@
