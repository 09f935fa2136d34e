# Two commands do everything on a fresh machine: `make demo` and `make test`. Needs Python >= 3.11 and a package index.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= runs/demo
# a worker that crashes ends the run: xdist gives its last test to a new worker, and may wait for that for ever
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# tests that neither train nor start processes
FAST := tests/equations $(addprefix tests/house/test_,layers.py limits.py names.py) \
	$(addprefix tests/unit/,avatar corpora files models objectives recipe scoring text training)
export TOKENIZERS_PARALLELISM := false

.PHONY: setup demo studio test check format docs bench clean

setup: $(VENV)/.installed

# what users need; developers' tools come on top
$(VENV)/.base: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "glossfree needs Python >= 3.11: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (about a minute, 1.7 GB) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[studio]'
	@touch $@

$(VENV)/.installed: $(VENV)/.base
	@echo "installing developers' tools (a GB more) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/glossfree demo --out $(DEMO) $(ARGS)

studio: $(VENV)/.base
	@test -f $(DEMO)/model/model.json || $(BIN)/glossfree demo --out $(DEMO)
	$(BIN)/glossfree studio $(DEMO)/model --corpus $(DEMO)/corpus --run $(DEMO)/with-pretraining $(ARGS)

test: setup
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(FAST)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

docs: setup
	$(BIN)/python -m pytest tests/house $(ARGS)

clean:
	rm -rf $(VENV) runs dist build
