# Every target does its own set-up: `make demo` on a machine with Python and a package registry is enough.
# Another Python: `PYTHON=python3.12 make install`. Without PYTHON, an existing .venv keeps the Python it was made with.
.PHONY: install demo test test-core test-notebooks test-browser test-pythons check soak lab constraints jetson jetson-check
.DELETE_ON_ERROR:

VENV ?= .venv

ifeq ($(origin PYTHON),undefined)
PYTHON := $(if $(wildcard $(VENV)/installed-py*),$(VENV)/bin/python,python3)
endif
SUPPORTED := $(patsubst constraints/py3%.txt,3.%,$(sort $(wildcard constraints/py3*.txt)))
PY := $(shell $(PYTHON) -c 'import sys; print("3." + str(sys.version_info[1]))')
ifeq ($(filter $(PY),$(SUPPORTED)),)
$(error $(PYTHON) is Python '$(PY)', sdaug is pinned for $(SUPPORTED); name one, for example: PYTHON=python3.11 make $(MAKECMDGOALS))
endif

CONSTRAINTS := constraints/py$(subst .,,$(PY)).txt
STAMP := $(VENV)/installed-py$(subst .,,$(PY))
BIN := $(VENV)/bin
SDAUG := $(BIN)/sdaug
UV := uv==0.13.9

install: $(STAMP)

# Compiled here, for where PYTHONDONTWRITEBYTECODE is set every process would spend ten seconds on it.
# The stamp is written last: an interrupted installation, or one for another Python, starts from an empty $(VENV).
$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet $(UV)
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraints $(CONSTRAINTS) --editable '.[lab,test]'
	touch $@

demo: $(STAMP)
	$(SDAUG) sweep experiments/demo.yaml --out build/demo
	$(SDAUG) report experiments/demo.yaml --results build/demo --out build/demo/report.html
	$(SDAUG) enrol astronaut --subject demo-subject --chosen build/demo/chosen.json --out build/demo/enrolment --overwrite
	$(SDAUG) verify build/demo/enrolment

test: test-core test-notebooks

# Unit and contract tests and the examples in docstrings (pyproject.toml, testpaths), a file of them at a time in each of
# JOBS processes of one thread each, for threads of several would wait for each other's cores; `JOBS=0` is one after the
# other in one process. TESTS: further options, as -m "not slow".
JOBS ?= 2
test-core: $(STAMP)
	$(if $(filter 0,$(JOBS)),,OMP_NUM_THREADS=1) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS)

# A small sweep executes two notebooks, papermill the others, on the built-in photo and on simulated people; nbval then
# runs the executed copies again and compares what must not change.
test-notebooks: $(STAMP)
	rm -rf build/smoke
	$(SDAUG) sweep experiments/smoke.yaml --out build/smoke
	$(BIN)/papermill --no-progress-bar --kernel python3 notebooks/truth.ipynb build/smoke/truth.ipynb
	$(BIN)/papermill --no-progress-bar --kernel python3 -p replicates 300 notebooks/gain.ipynb build/smoke/gain.ipynb
	$(BIN)/papermill --no-progress-bar --kernel python3 notebooks/plan.ipynb build/smoke/plan.ipynb
	$(BIN)/python -m pytest --nbval --nbval-current-env build/smoke/notebooks \
	  $(addprefix build/smoke/,compare.ipynb truth.ipynb gain.ipynb plan.ipynb)

# The report in a real Chromium, from SDAUG_CHROMIUM or PATH; without one every test is skipped and says so.
test-browser: $(STAMP)
	$(BIN)/python -m pytest tests/browser

# Installation and the core tests but the slow ones on every supported Python that this machine has; half an hour.
test-pythons: $(STAMP)
	$(BIN)/python scripts/test_pythons.py $(SUPPORTED) --out experiments/results/pythons.json

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python scripts/requirements_genai.py --check

# The long proofs, of which `make test` runs a small version each; about an hour and a quarter.
soak: $(STAMP)
	$(BIN)/python -m sdaug.soak --out experiments/results/soak.json

# On a Jetson, after `sdaug models pull`: is it ready, every setting swept, measured beside predicted, report, bundle.
# docs/jetson.md. Another board or power mode: make jetson JETSON=orin-nx-16:25W
# Status 1 of a sweep is that a cell failed: the rest is made of the others, and the status is kept for the end.
JETSON ?= orin-agx-64
JETPACK := $(if $(filter 3.10,$(PY)),jp61,jp72)
TORCH_INDEX ?= $(if $(filter jp61,$(JETPACK)),https://pypi.jetson-ai-lab.io/jp6/cu126)
JETSON_STAMP := $(VENV)/installed-$(JETPACK)
JETSON_OUT := build/jetson

jetson: $(JETSON_STAMP)
	mkdir -p $(JETSON_OUT)
	rm -f $(addprefix $(JETSON_OUT)/,chosen.json predicted.json)
	$(SDAUG) doctor --require gpu --require weights
	$(SDAUG) plan experiments/jetson.yaml --device $(JETSON) --here
	$(SDAUG) plan experiments/jetson.yaml --device $(JETSON) --json > $(JETSON_OUT)/plan.json
	$(SDAUG) sweep experiments/jetson.yaml --out $(JETSON_OUT); echo $$? > $(JETSON_OUT)/swept; test $$(cat $(JETSON_OUT)/swept) -le 1 -a -e $(JETSON_OUT)/chosen.json
	$(SDAUG) bench predict experiments/jetson.yaml --device $(JETSON) --save $(JETSON_OUT)/predicted.json; echo $$? > $(JETSON_OUT)/compared; test -e $(JETSON_OUT)/predicted.json
	$(SDAUG) report experiments/jetson.yaml --results $(JETSON_OUT) --out $(JETSON_OUT)/report.html
	$(SDAUG) enrol astronaut --subject jetson-subject --chosen $(JETSON_OUT)/chosen.json --out $(JETSON_OUT)/enrolment --overwrite
	$(SDAUG) verify $(JETSON_OUT)/enrolment
	@exit $$(cat $(JETSON_OUT)/swept)
	@exit $$(cat $(JETSON_OUT)/compared)

# torch first and alone, from the vendor; the overrides keep every other package from bringing PyPI's. Triton, which
# torch.compile needs, from there too: untried, and without it the compiled settings are skipped with that reason.
$(JETSON_STAMP): pyproject.toml constraints/jetson-$(JETPACK).txt scripts/jetson_resolve.py
	$(if $(TORCH_INDEX),,$(error TORCH_INDEX is empty: Python $(PY) is JetPack 7.2, for which we know no index of PyTorch \
	  built for its GPU; name one: make jetson TORCH_INDEX=https://...))
	test -e $@ || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet $(UV)
	$(BIN)/uv pip install --python $(BIN)/python --index-url $(TORCH_INDEX) --no-deps torch torchvision
	$(BIN)/uv pip install --python $(BIN)/python --index-url $(TORCH_INDEX) --no-deps triton \
	  || echo 'no triton at $(TORCH_INDEX): compiled settings will be skipped'
	$(BIN)/python scripts/jetson_resolve.py --overrides > $(VENV)/overrides.txt
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --constraints constraints/jetson-$(JETPACK).txt \
	  --override $(VENV)/overrides.txt --editable '.[service]'
	touch $@

# Without a Jetson: are there wheels for everything that it needs but torch?
jetson-check: $(STAMP)
	$(BIN)/python scripts/jetson_resolve.py --check

# Kernels start here, where the paths in the notebooks' parameters begin, and not in notebooks/.
lab: $(STAMP)
	$(BIN)/jupyter lab --notebook-dir notebooks --MappingKernelManager.root_dir=$(CURDIR)

# Resolve anew. What a file pins already stays unless pyproject.toml or pins.txt forbids it; delete the file to float all.
constraints: $(STAMP)
	for version in $(SUPPORTED); do \
	  $(BIN)/uv pip compile pyproject.toml --all-extras --python-version $$version \
	    --python-platform x86_64-unknown-linux-gnu --constraints constraints/pins.txt --no-annotate --quiet \
	    --custom-compile-command 'make constraints' --output-file constraints/py$$(echo $$version | tr -d .).txt || exit 1; \
	done
	$(BIN)/python scripts/requirements_genai.py
