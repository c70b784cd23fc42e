# make demo | test | train | lint | typecheck | gpu-bundle | clean: each does the set-up it needs, once.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# One exact version each, so that an installed torch is never exchanged for another build.
TORCH ?= torch==2.13.0
TORCHVISION ?= torchvision==0.28.0
EXTRAS ?= all,dev
THREADS ?= 2
# Other programs that read OME-Zarr: ome-zarr-models (MIT), ngff-zarr (MIT), ome-zarr (BSD-2-Clause), napari-ome-zarr
# (BSD-3-Clause). They bring wasm runtimes, clients of cloud stores and an older pydantic, so they have an environment
# of their own.
OME ?= "ome-zarr-models>=1.7,<2" "ngff-zarr[validate]>=0.50,<1" "ome-zarr>=0.18,<1" "napari-ome-zarr>=0.10,<1" "napari[pyqt6]>=0.9,<1"
PYTEST_ARGS ?=
# Tests run in so many processes, each with one thread: two of two threads each slow each other tenfold. 0: in one, with $(THREADS).
# A file runs in one of them, since what its tests share is made once.
TEST_PROCESSES ?= 2
# Compiled tests are kept, whatever the shell says: each process would compile all of them anew.
PYTEST = PYTHONDONTWRITEBYTECODE= $(if $(filter-out 0,$(TEST_PROCESSES)),OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 )$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile
RECIPE ?= nano
TRAIN_ARGS ?=

export TORCH TORCHVISION EXTRAS PYTHON
export OMP_NUM_THREADS ?= $(THREADS)
export MKL_NUM_THREADS ?= $(THREADS)

BIN := .venv/bin
XVFB := $(if $(filter Linux,$(shell uname -s)),xvfb-run -a,)

.PHONY: help setup display demo test test-all test-kill fuzz check-ome coverage train train-smoke train-motion calibrate bench lint format typecheck gpu-bundle clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 20

setup:  ## make .venv and install everything into it
	@tools/setup.sh python

display:  ## install Xvfb and the GL libraries that the viewer tests need
	@tools/setup.sh display

demo: setup  ## follow the nuclei of a real time-lapse; results in ./demo
	@$(BIN)/python tools/demo.py

test: setup display  ## run the tests (PYTEST_ARGS="-k prompts" to choose)
	@$(XVFB) env $(PYTEST) $(PYTEST_ARGS)

test-all: setup display  ## run the tests, the slow ones too
	@$(XVFB) env $(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

check-ome: setup display  ## let other programs read the demo's result as OME-Zarr (make demo first)
	@test -d demo/labels.zarr || { echo "run 'make demo' first" >&2; exit 2; }
	@test -x build/ome/bin/python || $(BIN)/python -m venv build/ome
	@build/ome/bin/python -m pip install -q $(OME)
	@$(XVFB) build/ome/bin/python tools/check_ome.py demo/labels.zarr

test-kill: setup  ## stop and kill the command at many moments, some minutes
	@$(BIN)/python -m pytest -m slow -s tests/cli/test_kill.py tests/cli/test_kill_resume.py $(PYTEST_ARGS)

fuzz: setup  ## give the command 5,000 damaged inputs of every kind, some 15 minutes
	@$(BIN)/python -m pytest -m slow -s tests/cli/test_fuzz.py $(PYTEST_ARGS)

coverage: setup display  ## run the tests and draw which lines and branches they reach, into coverage/
	@$(XVFB) $(BIN)/python -m pytest --cov=napari_mosam --cov-branch --cov-report=term:skip-covered --cov-report=html:coverage $(PYTEST_ARGS)

bench: setup  ## time a crop, memory attention, a step of 16 cells and a frame written, on one thread
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -p no:xdist benchmarks/hot_paths.py $(PYTEST_ARGS)

train: setup  ## train by a recipe, at lowest priority (RECIPE=pico SECONDS=7200 TRAIN_ARGS="--resume"); results in ./trained
	@nice -n 19 $(BIN)/python -m training.run $(RECIPE) --out trained/$(RECIPE) $(if $(SECONDS),--seconds $(SECONDS)) $(TRAIN_ARGS)

train-smoke: setup  ## train a small network on the CPU and try it in the engine: does training work?
	@$(BIN)/python -m training.smoke

lint: setup  ## check style, format, the layers of imports and the declared dependencies
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo && $(BIN)/deptry src

format: setup  ## apply style and format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

typecheck: setup  ## check types
	@$(BIN)/mypy

train-motion: setup  ## train both motion encoders on simulated cells, about half an hour of one idle core each
	@for kind in sparse dense; do \
	  $(BIN)/python -m training.motion.$$kind --out runs/motion_$$kind && \
	  cp runs/motion_$$kind/motion_$$kind.safetensors runs/motion_$$kind/motion_$$kind.json src/napari_mosam/core/model/weights/ || exit 1; \
	done

calibrate: setup  ## fit the expected IoU to nano's masks of movies with truth and write it beside the weights (MOSAM_DATA names the data), about half an hour of one idle core
	@$(BIN)/python -m benchmarks.calibration --out runs/calibration --rounds 4 --ship

gpu-bundle: setup  ## pack code, wheels and crops for a bare GPU machine into build/gpu_bundle (MOSAM_DATA names the data)
	@$(BIN)/python tools/gpu_bundle.py

clean:  ## remove caches and the demo's results; keeps .venv
	@rm -rf demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find src tests tools benchmarks training -name __pycache__ -type d -prune -exec rm -rf {} +
