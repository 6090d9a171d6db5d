# Folio. `make chat` and `make test` need nothing but Python 3.11+ and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: chat test lint bench clean

chat: .venv/installed  ## index seeds/ if needed, then open the chat on 127.0.0.1
	@$(BIN)/python app.py

test: .venv/installed-test lint  ## the whole suite
	$(BIN)/python -m pytest

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed  ## speed on this machine
	$(BIN)/python -m benchmarks.latency

clean:
	rm -rf .venv build dist *.egg-info

# Reinstalled only when what is to be installed changes.
.venv/installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Folio into .venv (once; some minutes) …"
	@$(PIP) "torch>=2.6,<2.14"
	@$(PIP) --editable .
	@touch $@

.venv/installed-test: .venv/installed
	@$(PIP) --editable ".[test]"
	@touch $@
