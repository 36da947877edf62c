# Thin: sets up .venv once, then calls hardwire and pytest. See CONTRIBUTING.md.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up
JOBS ?= 2

.PHONY: demo test soak lint setup tools test-tools clean

demo: setup  ## Send a file over UDP through stack, driver and RTL; show the journey; write demo.pcapng
	$(BIN)/hardwire send --file README.md --to 10.0.0.2:9000 --neigh 10.0.0.2=02:00:00:00:00:02 --pcap demo.pcapng

test: setup test-tools  ## Every test, the long random runs as a sample
	$(BIN)/pytest -n $(JOBS)

soak: setup test-tools  ## The long random runs in full, with fresh seeds, printed
	HARDWIRE_SOAK=1 $(BIN)/pytest -m soak -s

lint: setup  ## Every linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

setup: $(STAMP)

# Done again only when the list of dependencies changed.
$(STAMP): pyproject.toml | tools
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# A missing tool gives one line with the command that brings it.
need = command -v $(1) >/dev/null || { echo "$(1) is missing: apt-get install $(2)" >&2; exit 1; }

tools:
	@$(call need,$(PYTHON),python3)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than 3.11: apt-get install python3 (Debian 12), or make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@$(call need,g++,g++)
	@$(call need,perl,perl)

# What only the tests need: Debian packages, installed here when we may.
test-tools: setup
	@.ci/test-tools $(BIN)/python

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo.pcapng
