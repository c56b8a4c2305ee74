# Needs Python 3.11 to 3.13 and make; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= graftwork-demo
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' graftwork/_version.py)
VARIANT ?= cpu
IMAGE ?= graftwork:$(VERSION)$(if $(filter-out cpu,$(VARIANT)),-$(VARIANT))
BUILD ?= docker build
LOCK := uv pip compile --universal --generate-hashes --no-emit-index-url --quiet \
        --custom-compile-command "make lock"

.PHONY: demo test test-slow lint bench bench-head bench-memory bench-opening docs lock image clean

demo: $(VENV)/.ready-demo            ## Train a classifier of digits from a saved Keras model, about five minutes
	$(BIN)/graftwork demo --output $(DEMO)

test: $(VENV)/.ready-dev             ## The tests, in parallel, without the slow ones
	$(BIN)/pytest -n auto -m "not slow" tests

test-slow: $(VENV)/.ready-dev        ## The end-to-end tests and every architecture
	$(BIN)/pytest -n 2 --dist loadgroup -rs --durations=15 -m slow tests

lint: $(VENV)/.ready-dev             ## Style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy -p graftwork

bench: $(VENV)/.ready-dev            ## Training, beside the well-known recipes and KerasHub; an hour and a half
	$(BIN)/python benchmarks/training.py

bench-head: $(VENV)/.ready-dev       ## The linear head on 100,000 x 2,048 features, beside scikit-learn
	$(BIN)/python benchmarks/head.py

bench-memory: $(VENV)/.ready-dev     ## Peak memory of every step, at 5,000 and at 50,000 images
	$(BIN)/python benchmarks/memory.py

bench-opening: $(VENV)/.ready-dev    ## Opening a saved model, beside what Keras itself takes
	$(BIN)/python benchmarks/opening.py

docs: $(VENV)/.ready-dev             ## Write the tables of settings and of the steps' READMEs anew
	$(BIN)/python docs/write_settings.py
	$(BIN)/python docs/component_tables.py

lock: $(VENV)/.ready-dev             ## Write the lock files anew
	$(BIN)/pip install --quiet uv
	$(BIN)/$(LOCK) pyproject.toml --extra demo --extra docker --extra model-registry --output-file requirements.lock
	$(BIN)/$(LOCK) pyproject.toml --extra demo --extra docker --extra model-registry --extra gpu --output-file requirements-gpu.lock
	$(BIN)/$(LOCK) pyproject.toml --extra demo --extra docker --extra hub --extra model-registry --group dev --output-file requirements-dev.lock
	$(BIN)/$(LOCK) --group pyproject.toml:client --constraint requirements.lock --output-file requirements-client.lock

image:                               ## The container image that every step runs in on a cluster; VARIANT=gpu for GPU nodes
	$(BUILD) --build-arg VARIANT=$(VARIANT) --build-arg VERSION=$(VERSION) \
	  --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) --tag $(IMAGE) .

clean:                               ## Remove what make made
	rm -rf $(VENV) build dist *.egg-info $(DEMO)

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "graftwork needs Python 3.11 to 3.13, found: $$($(PYTHON) --version). Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready-demo: requirements.lock pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.ready-dev: requirements-dev.lock pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@ $(VENV)/.ready-demo
