# longodds: everything from a clone. `make help` lists the targets.
#
# One virtual environment, made with plain pip. Each step leaves a stamp when it is complete, so a second run does
# nothing, and a run that was interrupted goes on with the step that it was in.

VENV ?= .venv
# The interpreter that makes the environment; empty: the first of python3.11, python3, ... that will do.
PYTHON ?=
TORCH ?= torch==2.13.0
# Another index for torch alone, e.g. PyTorch's own index of CPU builds; empty: pip's usual one.
TORCH_INDEX ?=
DEMO ?= runs/demo
PYTEST_ARGS ?=
# A checkout of KernelBench, for the bench on a GPU.
KERNELBENCH ?= $(LONGODDS_KERNELBENCH)
TESTS := not corpus and not gpu and not net
# Tests side by side, each with programs and models of its own in memory.
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$n)
INSTALL_ARGS ?= $(if $(CI),--quiet)

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --disable-pip-version-check --no-input $(INSTALL_ARGS)
STAMPS := $(VENV)/.longodds

.DEFAULT_GOAL := install
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo test test-gpu corpus bench bench-evaluator soak lint fmt clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'Variables: PYTHON=python3.12  VENV=.venv  TORCH=torch==2.13.0  TORCH_INDEX=URL (for torch alone: a CPU or'
	@echo '           CUDA index)  DEMO=runs/demo  JOBS=2  PYTEST_ARGS="-k store -x"'

install: $(STAMPS)/dev ## the environment with everything: longodds, local models, tests, linters (the default)

demo: $(STAMPS)/local ## a real run: a language model writes programs, they are judged and timed, a report compares choices
	@echo 'demo: the model is a download of 93 MB, once; then about 5 minutes on 2 cores; interrupt and repeat as you like'
	$(PY) -m longodds model fetch embedded
	$(PY) -m longodds best-of-n $(DEMO) --config recipes/demo.toml
	@echo
	@echo 'Open $(DEMO)/report.html in a browser. Go on with: $(VENV)/bin/longodds --help'

# First several at a time, then what measures and so needs the machine to itself (tests/conftest.py). One of the two may
# have nothing to do (5). A generous limit for each test: the simulations must not fail because the machine is busy.
test: $(STAMPS)/dev ## all tests that need no GPU and no network
	@$(PY) -m longodds model fetch embedded \
		|| echo 'test: the embedded model could not be fetched (above); tests that need it will skip and say so'
	@status=0; \
	$(PY) -m pytest -m '$(TESTS) and not alone' -n $(JOBS) --dist loadfile --timeout=1200 -rs --durations=10 $(PYTEST_ARGS) \
		|| [ $$? -eq 5 ] || status=1; \
	$(PY) -m pytest -m '$(TESTS) and alone' --timeout=1200 -rs --durations=10 $(PYTEST_ARGS) \
		|| [ $$? -eq 5 ] || status=1; \
	exit $$status

corpus: $(STAMPS)/dev ## all attacks, rewrites and mutants against the evaluator (long)
	$(PY) -m pytest -m corpus --timeout=1800 -rs $(PYTEST_ARGS)

bench: $(STAMPS)/dev ## verdicts per minute beside a plain evaluator, in one run
	$(PY) -m scripts.bench_evaluator

bench-evaluator: $(STAMPS)/dev ## on a GPU: beside KernelBench's evaluator; KERNELBENCH=a checkout of KernelBench
	$(PY) -m scripts.bench_gpu --kernelbench-root '$(KERNELBENCH)'

test-gpu: $(STAMPS)/dev ## all tests that need a GPU
	$(PY) -m pytest tests/gpu -m gpu --timeout=600 -rs --durations=10 $(PYTEST_ARGS)

soak: $(STAMPS)/dev ## 2,000 evaluations, a tenth of them attacks, in one evaluator: what is lost, leaks or is left (long)
	$(PY) -m scripts.soak --out soak.jsonl

lint: $(STAMPS)/dev ## format, lint, types (strict where numbers are made), import rules
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(VENV)/bin/pyright
	$(VENV)/bin/pyright -p pyrightconfig.strict.json
	$(VENV)/bin/lint-imports

fmt: $(STAMPS)/dev ## format, and fix what can be fixed
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

clean: ## remove caches and build output; runs and the environment stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## also remove the environment
	rm -rf $(VENV)

# --- the environment ------------------------------------------------------------------------------------------

$(STAMPS)/venv:
	@python=; old=; \
	for p in $(if $(PYTHON),'$(PYTHON)',python3.11 python3 python3.12 python3.13); do \
		"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		if "$$p" -c 'import venv, ensurepip' >/dev/null 2>&1; then python=$$p; break; fi; \
		old=$$p; \
	done; \
	if [ -n "$$python" ]; then :; \
	elif [ -n "$$old" ]; then \
		echo "make: $$old has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv) or name another with PYTHON=" >&2; exit 1; \
	else \
		echo 'make: needs Python 3.11 or newer$(if $(PYTHON),; $(PYTHON) is none); name it with PYTHON=' >&2; exit 1; \
	fi; \
	echo "make: an environment in $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv '$(VENV)'
	@mkdir -p $(STAMPS)
	@touch $@

# First, and alone: what comes later then finds a torch that will do, and takes no other build.
$(STAMPS)/torch: $(STAMPS)/venv
	@echo 'make: installing $(TORCH): 0.2 GB to download as a CPU build; a build with CUDA, which an index may prefer on'
	@echo '      Linux, is some 3 GB and 10 minutes. For a CPU build: interrupt, then make TORCH_INDEX=<index of CPU builds>'
	$(PIP) $(if $(TORCH_INDEX),--index-url '$(TORCH_INDEX)') '$(TORCH)'
	@touch $@

$(STAMPS)/local: $(STAMPS)/torch pyproject.toml
	@echo 'make: installing longodds and its libraries: 0.1 GB to download, 1 to 3 minutes; the environment takes 1.5 GB'
	$(PIP) -e '.[local]'
	@touch $@

$(STAMPS)/dev: $(STAMPS)/local
	@echo 'make: installing test and lint tools: 25 MB to download, a minute'
	$(PIP) -e '.[dev]'
	@touch $@
