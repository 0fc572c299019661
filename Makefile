# Two commands do everything: `make book` and `make test`.  Each target prints what it does.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
BIN := .venv/bin
SITE := _build/html
INSTALLED := .venv/.installed

.PHONY: book test serve lint clean help
.DEFAULT_GOAL := help

help:
	@echo "make book    install, execute every notebook, build the site into $(SITE)"
	@echo "make test    install, build, run every test: units, notebooks, the site in a browser"
	@echo "make serve   look at the built site"
	@echo "make lint    ruff"
	@echo "make clean   remove what was built (not .venv)"

$(INSTALLED): requirements.txt pyproject.toml
	@echo "== installing into .venv"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(INSTALLED)
	@start=$$(date +%s); \
	echo "== executing the notebooks" && \
	$(BIN)/python scripts/run_notebooks.py && \
	echo "== building the site" && \
	$(BIN)/python scripts/build_site.py && \
	echo "== done in $$(( $$(date +%s) - start )) s: $(SITE)/index.html   (make serve shows it)"

test: book
	@echo "== unit tests and notebooks"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env -q -m "not site" tests book
	@echo "== the built site in a browser"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m site tests/site

links: book
	@echo "== links to other sites"
	@$(BIN)/jupyter-book build . --builder linkcheck -q

serve: $(INSTALLED)
	@$(BIN)/python scripts/serve.py

lint: $(INSTALLED)
	@echo "== ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check vi_helpers scripts tests

clean:
	@echo "== removing _build"
	@rm -rf _build
