# `make help` lists the targets.
PRESET ?= miniature
PROFILE ?=
REPEAT ?=
AGEGENDER_DATA ?=
JOBS ?=
LAB_ARGS ?=
export AGEGENDER_DATA

BIN := .venv/bin
SUM := $(shell cat requirements.lock detector.lock | cksum | tr ' ' -)
INSTALLED := .venv/.lock-$(SUM)
LIBRARY := .venv/.library-$(shell cksum < pyproject.toml | tr ' ' -)
CLUSTER := .venv/.cluster-$(shell cksum < cluster.lock | tr ' ' -)
STRIP_KEYS := metadata.papermill cell.metadata.papermill
PYTEST := OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m pytest -n $(or $(JOBS),auto) --maxprocesses 8
NOTEBOOKS = $$(git ls-files '*.ipynb')
IS_OUR_PYTHON := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DEFAULT_GOAL := help
.PHONY: help book runs status model records test lint unit notebooks portability lab bench lock clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PRESET=miniature|open|paper   which runs (default: miniature, drawn people, needs no data)"
	@echo "  AGEGENDER_DATA=<folder>       the data packs or corpora, for the presets open and paper"
	@echo "  JOBS=<n>                      cores to use (default: all)"
	@echo "  LAB_ARGS='--no-browser --allow-root'   more options for make lab: here on a server without a screen, as root"
	@echo "  REPEAT=1                      make runs: repeat runs, too, whose records are committed in book/results/"
	@echo "  PROFILE=slurm|kubernetes|cluster-generic   where 'make runs' runs (default: this machine); see profiles/"

book: $(LIBRARY) ## Run the notebooks of a preset and build the book: book/_build/html/index.html
	@exec $(BIN)/python book/tools/make_book.py book --preset $(PRESET) --jobs "$(JOBS)"

runs: $(LIBRARY) $(if $(filter slurm,$(PROFILE)),$(CLUSTER)) ## Run the notebooks of a preset, without building the book
	@exec $(BIN)/python book/tools/make_book.py runs --preset $(PRESET) --jobs "$(JOBS)" --profile "$(PROFILE)" --repeat "$(REPEAT)"

status: $(LIBRARY) ## What the runs of PRESET=open or paper have done, and how long the rest takes
	@exec $(BIN)/python book/tools/progress.py $(PRESET)

model: $(LIBRARY) ## Train a model that ships, MODEL=face or voice, and put its weights into the package
	@exec nice -n 19 $(BIN)/python book/tools/make_model.py "$(MODEL)" --data "$(AGEGENDER_DATA)"

records: $(LIBRARY) ## Publish finished runs of PRESET=open or paper into book/results/
	@exec $(BIN)/python book/tools/publish_records.py $(PRESET)

test: lint unit notebooks ## Lint, types, unit tests, doctests, layout, and every notebook at its smallest size

unit: $(LIBRARY) ## Unit tests, doctests and the layout test only
	$(PYTEST) --dist loadfile -m "not slow"

notebooks: $(LIBRARY) ## Every notebook at its smallest size, and the machinery that runs them
	$(PYTEST) --dist worksteal -m slow --durations 12

lint: $(LIBRARY) ## Ruff, mypy, stripped notebooks, allowed imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=book/tools $(BIN)/mypy --disable-error-code import-untyped book/tools book/_ext
	@test -z "$(NOTEBOOKS)" || $(BIN)/nbstripout --verify --extra-keys "$(STRIP_KEYS)" $(NOTEBOOKS)
	$(BIN)/python -m pytest tests/test_layout.py

portability: $(LIBRARY) ## All tests again as on other machines: several threads, older processors, another zone, locale and umask
	OMP_NUM_THREADS=3 $(MAKE) unit notebooks
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(MAKE) unit notebooks
	ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(MAKE) unit notebooks
	umask 077; TZ=Pacific/Kiritimati LC_ALL=C $(MAKE) unit notebooks

lab: $(LIBRARY) ## Open JupyterLab on the notebooks (LAB_ARGS: more options of jupyter lab)
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $(LAB_ARGS)

bench: $(LIBRARY) ## Measure the speed ratios side by side and write benchmarks/results.json
	$(BIN)/python -m benchmarks

lock: $(LIBRARY) ## Resolve the locks again from pyproject.toml and constraints.txt (UPGRADE=1: newest versions)
	$(BIN)/uv pip compile pyproject.toml --all-extras -c constraints.txt --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header $(if $(UPGRADE),--upgrade) -o requirements.lock
	$(BIN)/uv pip compile --group detection --no-deps --generate-hashes --no-annotate --no-header -o detector.lock
	$(BIN)/uv pip compile --group cluster -c requirements.lock --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header -o cluster.lock

clean: ## Remove what the miniature book made; keeps .venv and the runs of other presets
	rm -rf book/_build book/executed miniatures runs/miniature runs/*-records .snakemake \
	    .pytest_cache .mypy_cache .ruff_cache

# One file for each state of the locks, so that another lock (and nothing else) installs again. The face detector comes
# last and without dependencies: its metadata asks for versions of NumPy, Pillow and torch from before this project.
$(INSTALLED):
	@python=""; for name in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	    if "$$name" -c '$(IS_OUR_PYTHON)' 2>/dev/null; then python=$$name; break; fi; done; \
	if [ -z "$$python" ]; then \
	    echo "No usable Python 3.11, 3.12 or 3.13 was found (with venv; on Debian: apt install python3-venv)."; \
	    echo "Name one: make PYTHON=/path/to/python3.12"; exit 1; fi; \
	if ! .venv/bin/python -c '$(IS_OUR_PYTHON)' 2>/dev/null; then \
	    echo "Making .venv with $$("$$python" --version)"; "$$python" -m venv --clear .venv; fi
	@echo "Installing requirements.lock into .venv (some 5 GB and a few minutes the first time)"
	$(BIN)/python -m pip install --disable-pip-version-check --no-warn-conflicts --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes -r detector.lock
	@rm -f .venv/.lock-* && touch $@

$(LIBRARY): $(INSTALLED)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@rm -f .venv/.library-* && touch $@

$(CLUSTER): $(LIBRARY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r cluster.lock
	@rm -f .venv/.cluster-* && touch $@
