# Folio. `make chat` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

DATA ?= ../shared

.PHONY: chat test lint bench fuzz clean

chat: .venv/installed  ## index seeds/ if needed, then open the chat on 127.0.0.1
	@$(BIN)/python app.py

test: .venv/installed-test lint  ## the whole suite
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed benchmarks/.venv/installed  ## beside the peers, in one run; DATA holds the questions and eval/
	$(BIN)/python -m benchmarks.run --data $(DATA)

fuzz: .venv/installed-test  ## ten thousand damaged files into every reader of files
	$(BIN)/python -m tests.fuzz --cases 10000

clean:
	rm -rf .venv benchmarks/.venv build dist *.egg-info

# Reinstalled only when what is to be installed changes.
.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Folio into .venv (once; some minutes) …"
	@$(PIP) "torch>=2.6,<2.14"
	@$(PIP) --editable .
	@touch $@

# The peers, in an environment of their own.
benchmarks/.venv/installed: benchmarks/requirements.txt
	@test -x benchmarks/.venv/bin/python || $(PYTHON) -m venv benchmarks/.venv
	@benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check "torch>=2.6,<2.14"
	@benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements.txt
	@touch $@

.venv/installed-test: .venv/installed
	@$(PIP) --editable ".[test]"
	@touch $@
