# The series in one command: `make lab` to read and run it, `make test` to check it.
#
# ARGS="..." is handed on to what a target starts: make test ARGS="-k losses", make run ARGS=04, make lab ARGS=--no-browser
# PYTHON=... and TORCH_INDEX=... steer the set-up: see tools/setup.sh

RUN := .venv/bin/python -m
HALF := $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) + 1) / 2 ))) # of the cores: two notebooks run side by side
.DEFAULT_GOAL := help
.PHONY: help lab test test-browser test-colab run notebooks lint address clean

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

run: .venv/.ok ## execute every notebook from scratch into build/, as notebook and as page
	@$(RUN) tools.notebooks run $(ARGS)

notebooks: .venv/.ok ## regenerate the stored outputs in place; needs the full MNIST data set
	@$(RUN) tools.notebooks regenerate $(ARGS)

lint: .venv/.ok ## check style and format of the code, notebooks included
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

address: .venv/.ok ## carry the repository's address into badges and setup cells; REPO=OWNER/NAME sets a new one
	@$(RUN) tools.notebooks address $(REPO)

clean: ## remove build/ and caches; .venv and the data stay
	@rm -rf build .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

.venv/.ok: pyproject.toml
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" sh tools/setup.sh
