# Thin: sets up .venv once, then calls hardwire and pytest. See CONTRIBUTING.md.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.set-up
JOBS ?= 2

.PHONY: demo test soak lint docs docs-pictures setup test-tools clean

demo: setup  ## Send a file over UDP through stack, driver and RTL; show the journey; write demo.pcapng
	$(BIN)/hardwire send --file README.md --to 10.0.0.2:9000 --neigh 10.0.0.2=02:00:00:00:00:02 --pcap demo.pcapng

test: setup test-tools  ## Every test, the long random runs as a sample
	$(BIN)/pytest -n $(JOBS) --dist worksteal

soak: setup test-tools  ## The long random runs in full, with fresh seeds, printed
	$(BIN)/pytest -m soak -s

lint: setup  ## Every linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases docs/*.py
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

docs: setup  ## The pages: build/docs/index.html
	$(BIN)/python -m sphinx -W --keep-going -n -q -E -b html docs build/docs
	@echo "wrote build/docs/index.html"

docs-pictures: setup test-tools  ## The pictures in them, anew; look at each before you commit it
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/congestion.py

setup: $(STAMP)

# Done again only when the list of dependencies changed.
$(STAMP): pyproject.toml
	@.ci/tools run $(PYTHON)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

test-tools: setup
	@.ci/tools test $(BIN)/python

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build/docs demo.pcapng
