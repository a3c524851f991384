# `make audit` and `make test` need Python 3.11 or newer and make; everything else is installed into .venv.

PYTHON := $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
AUDIT := build/audit
REPRODUCTION := build/reproduction
SITE := build/site
BUILDER := build/builder
FRESH := build/fresh

WORKERS ?= 2
# Every feature once, in minutes. What the marks mean stands in pyproject.toml.
QUICK := quick or not (fault or browser or external or exhaustive)

.PHONY: environment audit reproduce test test-all lint format format-check types doctest benchmark-smoke docs dist clean

audit: .venv/demo.stamp
	rm -rf $(AUDIT)
	$(BIN)/fiberscope audit --out $(AUDIT)

# Every figure and table of the paper, in small, by the package in reproduction/.
reproduce: .venv/reproduction.stamp
	rm -rf $(REPRODUCTION)
	OMP_NUM_THREADS=1 $(BIN)/fiberscope reproduce all --scale quick --out $(REPRODUCTION)

# Test processes with one thread each are faster than the same number that fight for the cores. Each begins with a share of
# the files, so that few fixtures are built twice, and takes over from the other when it is done.
test test-all: export OMP_NUM_THREADS ?= 1
test: .venv/dev.stamp
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m '$(QUICK)' --hypothesis-profile=quick

# All of them, while the shapes and types of all arguments are checked.
test-all: export FIBERSCOPE_SHAPES = 1
test-all: .venv/dev.stamp
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: .venv/dev.stamp
	$(BIN)/ruff check .

format: .venv/dev.stamp
	$(BIN)/ruff format .

format-check: .venv/dev.stamp
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/pyright --pythonpath $(BIN)/python

doctest: .venv/dev.stamp
	$(BIN)/pytest --doctest-modules --doctest-glob='*.md' src reproduction/src README.md $(wildcard docs)

benchmark-smoke: .venv/dev.stamp
	$(BIN)/python benchmarks/_smoke.py

# The site, with its notebooks run. Whatever Sphinx warns of fails. What a notebook gave is kept until it
# or the package changes.
docs: export OMP_NUM_THREADS ?= 1
docs: .venv/docs.stamp
	rm -rf $(SITE)
	$(BIN)/sphinx-build -W --keep-going --quiet --doctree-dir build/doctrees docs $(SITE)

# What is uploaded: wheels are built from source distributions by one environment, and installed where nothing else is, the
# one of the reproduction after fiberscope was tried without it. It needs nothing of .venv, and can be made while that is
# set up.
dist:
	rm -rf dist $(BUILDER) $(FRESH)
	$(PYTHON) -m venv $(BUILDER)
	$(BUILDER)/bin/python -m pip install --quiet --no-compile 'build>=1.2' 'hatchling>=1.24'
	for project in . reproduction; do \
		$(BUILDER)/bin/python -m build --no-isolation --outdir dist $$project > /dev/null || exit; done
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --no-compile -c constraints.txt dist/fiberscope-*.whl
	cd $(FRESH) && bin/python $(CURDIR)/tools/check_installed.py
	$(FRESH)/bin/python -m pip install --quiet --no-compile -c constraints.txt --find-links dist dist/fiberscope_paper-*.whl
	cd $(FRESH) && bin/python $(CURDIR)/tools/check_installed.py --reproduction

# Any of these, and the seconds that it took. Several at once wait for one environment.
$(patsubst %,timed-%,audit reproduce lint format-check types doctest benchmark-smoke docs): | timed-environment
timed-%:
	@began=$$(date +%s); $(MAKE) --no-print-directory $* || exit; \
	echo "== make $*: $$(($$(date +%s) - began)) s"

clean:
	rm -rf .venv build dist

# One environment. It is set up again when what it is made from changes. Python compiles what is imported when it is;
# compiling all of torch beforehand takes longer than the demo.
.venv/python.stamp:
	@test -n "$(PYTHON)" || { echo "fiberscope needs Python 3.11 or newer; neither python3.11 nor python3 is one" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/demo.stamp: .venv/python.stamp pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[demo]'
	touch $@

.venv/reproduction.stamp: .venv/python.stamp pyproject.toml reproduction/pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[demo]' -e reproduction
	touch $@ .venv/demo.stamp

.venv/dev.stamp: .venv/python.stamp pyproject.toml reproduction/pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev,demo]' -e reproduction
	touch $@ .venv/demo.stamp .venv/reproduction.stamp

# All of it at once.
environment: .venv/all.stamp

.venv/all.stamp: .venv/python.stamp pyproject.toml reproduction/pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev,demo,docs]' -e reproduction
	touch .venv/demo.stamp .venv/dev.stamp .venv/docs.stamp .venv/reproduction.stamp $@

.venv/docs.stamp: .venv/python.stamp pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[docs]'
	touch $@
