# Two commands do everything: `make book` and `make test`.  Each target prints what it does.
SHELL := /bin/bash -o pipefail
PYTHON ?= python3
BIN := .venv/bin
SITE := _build/html
INSTALLED := .venv/.installed
REQUIREMENTS ?= requirements.txt

.PHONY: book test serve slides lint train clean help
.DEFAULT_GOAL := help

help:
	@echo "make book    install, execute every notebook, build the site into $(SITE)"
	@echo "make test    install, build, run every test: units, notebooks, the site in a browser"
	@echo "make serve   look at the built site"
	@echo "make lighthouse   scores of three pages of the built site (needs Node)"
	@echo "make pdf     the whole book as a PDF, with LaTeX: _build/pdf"
	@echo "make slides  a lecture deck for every chapter, with the site, and says where"
	@echo "make lint    ruff"
	@echo "make course  a course of your own: public and private tree in DEST (KEY, REPOSITORY: as you like)"
	@echo "make links   ask every other site that the book links to"
	@echo "make lite    the site with JupyterLite beside it, for pages that run in the browser"
	@echo "make seeds   headline numbers of changed chapters with ten other seeds each (half an hour for all)"
	@echo "make bench   ours beside other packages: some two hours, on a machine that rests; the results are committed"
	@echo "make train   train the reference models again (hours); a stopped run goes on"
	@echo "make clean   remove what was built (not .venv)"

$(INSTALLED): $(REQUIREMENTS) pyproject.toml
	@echo "== installing into .venv"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(INSTALLED)
	@start=$$(date +%s); \
	echo "== executing the notebooks" && \
	$(BIN)/python scripts/run_notebooks.py && \
	echo "== building the site" && \
	$(BIN)/python scripts/build_site.py && \
	if [ -n "$$BOOK_LITE" ] && ! [ $(SITE)/lite/index.html -nt _build/built_from.json ]; then \
	echo "== JupyterLite beside the site" && $(BIN)/python scripts/build_lite.py; fi && \
	for made in _build/built_from.json scripts/check_site.py $(SITE)/lite/index.html; do \
	if [ $$made -nt _build/.checked ]; then rm -f _build/.checked; fi; done && \
	if ! [ -e _build/.checked ]; then $(BIN)/python scripts/check_site.py && touch _build/.checked; fi && \
	echo "== done in $$(( $$(date +%s) - start )) s: $(SITE)/index.html   (make serve shows it)"

test: book
	@echo "== unit tests and notebooks"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env -q -m "not site" tests book
	@echo "== the built site in a browser"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m site tests/site

.PHONY: links lite
lite:
	@BOOK_LITE=1 $(MAKE) book

links: book
	@echo "== links to other sites"
	@$(BIN)/jupyter-book build . --builder linkcheck -q

.PHONY: lighthouse
lighthouse: $(INSTALLED)
	@echo "== Lighthouse on three pages (needs Node and the site that make book builds)"
	@$(BIN)/python scripts/lighthouse.py

serve: $(INSTALLED)
	@$(BIN)/python scripts/serve.py

slides: book
	@echo "== lecture decks, one a chapter (?print-pdf after the address, then print, makes a PDF)"
	@ls $(SITE)/slides/*.html

lint: $(INSTALLED)
	@echo "== ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check vi_helpers scripts tests assignments

PEERS := .venv-bench/bin/python

.PHONY: bench
bench: book
	@echo "== the peers, in an environment of their own: .venv-bench"
	@test -x $(PEERS) || $(PYTHON) -m venv .venv-bench
	@$(PEERS) -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	@echo "== the book itself, while nothing has changed since make book: rebuilds, and its tests in turn and side by side"
	@$(BIN)/python -m benchmarks.book
	@echo "== ours beside theirs"
	@$(PEERS) -m benchmarks
	@echo "== three times more: do the ratios repeat?"
	@$(PEERS) -m benchmarks --again 3 --threads 1

VAE := $(BIN)/python -m vi_helpers.vae
SHIPPED := vi_helpers/vae/references

train: $(INSTALLED)
	@echo "== the slides' network on grey MNIST"
	@$(VAE) train mnist --folder runs/mnist_slides --network slides --corrupted 0.5 --epochs 200 --learning-rate 1e-3 --warmup 0.02
	@$(VAE) evaluate mnist --model runs/mnist_slides --save $(SHIPPED)/mnist_slides.safetensors
	@echo "== the convolutional network on dynamically binarised MNIST"
	@$(VAE) train mnist --folder runs/mnist_conv --network conv --latent 40 --prepare binarised --validation 0 --epochs 100
	@$(VAE) evaluate mnist --model runs/mnist_conv --save $(SHIPPED)/mnist_conv.safetensors
	@$(VAE) evaluate mnist --model $(SHIPPED)/mnist_conv.safetensors --prepare binarised --samples 500 --save $(SHIPPED)/mnist_conv.safetensors
	@$(VAE) evaluate mnist --model $(SHIPPED)/mnist_conv.safetensors --prepare binarised --samples 5000 --images 1000 --save $(SHIPPED)/mnist_conv.safetensors
	@echo "== two latents on grey MNIST, for the page"
	@$(VAE) train mnist --folder runs/mnist_map --network map --latent 2 --corrupted 0.5 --epochs 100
	@$(VAE) evaluate mnist --model runs/mnist_map --save $(SHIPPED)/mnist_map.safetensors
	@echo "== the convolutional network on CIFAR-10 images"
	@$(VAE) train cifar10 --folder runs/cifar10_conv --network conv --latent 64 --likelihood logistic --epochs 30
	@$(VAE) evaluate cifar10 --model runs/cifar10_conv --save $(SHIPPED)/cifar10_conv.safetensors

.PHONY: pdf
pdf: book
	@echo "== the book as a PDF"
	@$(BIN)/python scripts/build_pdf.py

.PHONY: course
course: $(INSTALLED)
	@test -n "$(DEST)" || { echo "Say where to: make course DEST=../my-course"; exit 1; }
	@$(BIN)/python -m assignments.split "$(DEST)" --key "$(KEY)" --repository "$(REPOSITORY)"

.PHONY: seeds
seeds: $(INSTALLED)
	@echo "== the headline numbers of changed chapters, ten seeds each (about half an hour for all)"
	@$(BIN)/python scripts/seeds.py

clean:
	@echo "== removing _build"
	@rm -rf _build
