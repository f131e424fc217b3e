# The series in one command: `make lab` to read and run it, `make test` to check it.
#
# ARGS="..." is handed on to what a target starts: make test ARGS="-k losses", make run ARGS=04, make lab ARGS=--no-browser
# PYTHON=... and TORCH_INDEX=... steer the set-up: see tools/setup.sh

RUN := .venv/bin/python -m
HALF := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 ))) # of the cores: two notebooks run side by side
.DEFAULT_GOAL := help
OLDEST := python3.10
.PHONY: help lab test test-browser test-colab test-oldest run notebooks lint address clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

lab: .venv/.ok ## open the notebooks in JupyterLab
	@$(RUN) jupyterlab --LabApp.default_url=/lab/tree/notebooks $(ARGS)

test: .venv/.ok ## run the unit tests, the checks of form, and every notebook against its stored outputs
	@OMP_NUM_THREADS=$(HALF) $(RUN) pytest --nbval -n 2 --dist loadfile $(ARGS)

test-browser: .venv/.ok ## press every slider and button of every notebook in a real JupyterLab; needs Chromium or Chrome
	@$(RUN) pytest tests/browser $(ARGS)

test-colab: .venv/.ok ## run the notebooks as Colab would: its versions, an empty folder, the clone of the setup cell
	@$(RUN) tools.colab $(ARGS)

test-oldest: .venv-oldest/.ok ## run the unit tests and two notebooks on the lowest versions; OLDEST=... names a Python
	@OMP_NUM_THREADS=$(HALF) .venv-oldest/bin/python -m pytest --nbval -n 2 --dist loadfile tests notebooks/02* notebooks/03* $(ARGS)

run: .venv/.ok ## execute every notebook from scratch into build/, as notebook and as page
	@$(RUN) tools.notebooks run $(ARGS)

notebooks: .venv/.ok ## regenerate the stored outputs in place; needs the full MNIST data set
	@$(RUN) tools.notebooks regenerate $(ARGS)

lint: .venv/.ok ## check style and format of the code, notebooks included
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

address: .venv/.ok ## carry the repository's address, git's origin or REPO=OWNER/NAME, into badges and setup cells
	@$(RUN) tools.address $(REPO)

clean: ## remove build/ and caches; .venv and the data stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

.venv/.ok: pyproject.toml
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh tools/setup.sh

.venv-oldest/.ok: pyproject.toml tools/oldest.py
	@command -v $(OLDEST) >/dev/null || { echo "$(OLDEST) is not here: OLDEST=... names another Python."; exit 1; }
	@$(OLDEST) -m tools.oldest
