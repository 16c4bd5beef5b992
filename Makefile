# Halocline: from a bare Debian machine to a coupled run. `make help` lists the targets.
#
# Nothing here is installed twice: each step looks first. `setup` is, in this order,
#   system   Debian packages of docker/packages.txt that are missing (root or sudo); those for the tests only: system-tests
#   .venv    a virtual environment of Python >= 3.11
#   Python   the packages of pyproject.toml in the versions of docker/constraints.txt
SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# torch: PyPI's Linux wheels carry several GB of CUDA, so the wheel comes alone from PyTorch's own index. A wheel that pip
# finds without any index (PIP_FIND_LINKS, pip.conf) is taken first, and any installed build of that version is kept.
# With a GPU: make TORCH_BUILD=cu130
TORCH_BUILD ?= cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/$(TORCH_BUILD)
PIP_FLAGS   ?=
EXTRAS      := train,dev,docs

# What Open MPI 4 needs as root, in containers and with more ranks than cores; one thread per rank, always.
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export OMPI_MCA_rmaps_base_oversubscribe = 1
export OMPI_MCA_mpi_yield_when_idle = 1
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export ORT_DISABLE_TELEMETRY = 1

TRANSPORT ?= mpi
JOBS      ?= 2
PREC      ?= double
WORKERS   ?= 4
V      := .venv/bin
STAMP  := .venv/.halocline
LISTS  := pyproject.toml docker/constraints.txt
say     = echo "halocline: $(1)"
# `+` before a call of it: make then shares its jobs with the ocean's own Makefile.
ocean   = $(MAKE) -s -C fortran_stub VARIANT=$(1) TRANSPORT=mpi
# More workers than cores, because tests wait: for ranks to start, for time-outs that they provoke. The tests of a file share
# fixtures, so they stay in one worker. WORKERS=0: one test after the other, as a debugger needs it.
pytest  = $(V)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-all lint docs bench science-closures science-bias science-online science-qg fortran setup system system-tests clean distclean

help: ## list the targets
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo "commands: $(V)/halocline --help"

demo: fortran ## double gyre alone and with three networks, a picture beside the truth; TRANSPORT=oasis: over OASIS3-MCT
	@$(V)/halocline demo --transport $(TRANSPORT)

test: lint docs ## lint, docs, then every test (builds what is missing); WORKERS=0: one after the other
	@+$(call ocean,single)
	@+$(call ocean,check)
	@$(pytest) -m "not slow"

test-all: lint docs ## the same with the whole matrices
	@+$(call ocean,single)
	@+$(call ocean,check)
	@$(pytest)

lint: fortran system-tests ## ruff, mypy, fortitude, and a Fortran build in which a warning is an error
	@$(call say,ruff) && $(V)/ruff check --quiet && $(V)/ruff format --check --quiet
	@$(call say,mypy) && $(V)/mypy --no-error-summary
	@$(call say,fortitude) && $(V)/fortitude --quiet check fortran_stub coupler
	@$(call say,compiler warnings)
	@+$(call ocean,check) B=$(CURDIR)/build/lint FC='mpif90 -Werror'

docs: setup ## the documentation as a site in build/docs; a dead link is an error
	@$(call say,mkdocs) && NO_MKDOCS_2_WARNING=1 $(V)/mkdocs build --strict --quiet -f docs/mkdocs.yml

fortran: setup ## compile the ocean into build/double/gyre.exe and, over OASIS, gyre_oasis.exe; PREC=single: build/single too
	@+$(call ocean,double)
	@+[ $(PREC) = double ] || $(call ocean,$(PREC))
	@+$(MAKE) -s -C coupler/oasis
	@+$(MAKE) -s -C fortran_stub VARIANT=double TRANSPORT=oasis

bench: fortran ## run each script in benchmarks/, each prints a table
	@+$(call ocean,single)
	@for script in benchmarks/*.py; do \
	  $(call say,$$script); \
	  $(V)/python $$script $$(case $$script in benchmarks/coarsen.py) echo --quick;; benchmarks/twin.py) echo --no-gradient;; esac); \
	done

# What is there is not made again: truths go on where they ended, finished runs and trainings are kept.
science-closures: fortran ## truth, coarse data, scan, three trainings, their table (two hours, estimated; JOBS=2 side by side)
	@+$(call ocean,single)
	@$(V)/halocline truth namelists/gyre_truth --jobs $(JOBS) --coarsen namelists/gyre_coarsen
	@$(V)/halocline truth namelists/gyre_truth_wind --jobs $(JOBS) --coarsen namelists/gyre_coarsen_wind
	@$(V)/halocline science scan --jobs $(JOBS) --truth runs/gyre_coarsen/a.zarr --truth runs/gyre_coarsen/b.zarr \
	  --truth-unseen runs/gyre_coarsen_wind/a.zarr
	@for seed in 1 2 3; do $(V)/halocline train namelists/gyre_train --seed $$seed; done
	@$(V)/halocline science closures runs/gyre_momentum_s{1,2,3}/gyre_momentum_s?.onnx --jobs $(JOBS) --every 3,1 --extra

science-bias: fortran ## truth, increments, trainings, free runs of three twins, second round, their table (JOBS=2 side by side)
	@+$(call ocean,single)
	@$(V)/halocline truth namelists/gyre_truth --jobs $(JOBS) --coarsen namelists/gyre_coarsen
	@$(V)/halocline truth namelists/gyre_truth_season --jobs $(JOBS) --coarsen namelists/gyre_coarsen_season
	@$(V)/halocline science bias --jobs $(JOBS)
	@$(V)/halocline science bias --jobs $(JOBS) --twin season --method insert --recycle none --no-closure --name bias_season

science-online: fortran ## trainings of every mode, three seeds each, in the ocean, their table (hours, estimated; JOBS=2 side by side)
	@+$(call ocean,single)
	@$(V)/halocline truth namelists/gyre_truth --jobs $(JOBS) --coarsen namelists/gyre_coarsen
	@$(V)/halocline science online --jobs $(JOBS) --freeze

science-qg: setup ## two-layer QG: truth, trainings, table of both regimes (ten core-minutes, estimated)
	@$(V)/halocline qg table namelists/qg_eddy namelists/qg_jet

setup: $(STAMP) ## install what is missing: Debian packages, .venv, Python packages

clean: ## remove builds, runs and caches, keep .venv
	@rm -rf build runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .fortitude_cache .hypothesis
	@find . -path ./.venv -prune -o -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean ## the same, and .venv
	@rm -rf .venv

# --- Debian packages -------------------------------------------------------------------------------------------------

# The list has two parts, PART=run and PART=tests. Without the second the tests that need it are skipped, and say so.
PART ?= run
system-tests: system
	@$(MAKE) system PART=tests

system:
	@other='/^# --- for the tests only/,$$d'; [ $(PART) = run ] || other='1,/^# --- for the tests only/d'; \
	wanted=$$(sed "$$other; s/#.*//" docker/packages.txt | xargs); \
	if ! command -v dpkg-query >/dev/null; then \
	  for tool in gfortran mpif90 mpirun nf-config; do command -v $$tool >/dev/null || absent="$${absent:-} $$tool"; done; \
	  [ -z "$${absent:-}" ] || { echo "halocline: not a Debian system; install these tools yourself:$$absent" >&2; exit 1; }; \
	  exit 0; \
	fi; \
	have=" $$(dpkg-query -W -f='$${Status} $${Package} ' $$wanted 2>/dev/null || true)"; \
	for package in $$wanted; do \
	  [[ "$$have" == *" ok installed $$package "* ]] || missing="$${missing:-} $$package"; \
	done; \
	[ -n "$${missing:-}" ] || exit 0; \
	install="apt-get install -y --no-install-recommends$$missing"; \
	if [ "$$(id -u)" = 0 ]; then as=(env); \
	elif sudo -n true 2>/dev/null; then as=(sudo -n env); \
	elif [ $(PART) = tests ]; then \
	  $(call say,skipping the tests that need these packages (only root can install them):$$missing); \
	  exit 0; \
	else \
	  echo "halocline: Debian packages are missing and this account can neither be root nor use sudo without a password." >&2; \
	  echo "  Run this line as root, then make again:" >&2; \
	  echo "  apt-get update && $$install" >&2; \
	  exit 1; \
	fi; \
	$(call say,installing Debian packages:$$missing); \
	quiet="DEBIAN_FRONTEND=noninteractive"; \
	"$${as[@]}" $$quiet $$install -qq -s >/dev/null 2>&1 || \
	  { $(call say,refreshing the package lists); "$${as[@]}" apt-get update -qq; }; \
	log=$$(mktemp); \
	"$${as[@]}" $$quiet $$install -qq >$$log 2>&1 || \
	  { "$${as[@]}" apt-get update -qq; "$${as[@]}" $$quiet $$install -qq >$$log 2>&1; } || \
	  { cat $$log >&2; echo "halocline: apt-get failed, see above" >&2; exit 1; }; \
	rm -f $$log

# --- Python ----------------------------------------------------------------------------------------------------------

# Debian's own python3 comes first: python3-venv belongs to it.
.venv/bin/python: | system
	@tried="$${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}"; \
	for python in $$tried; do \
	  $$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break || python=; \
	done; \
	[ -n "$$python" ] || { \
	  echo "halocline: Python 3.11 or newer, with venv, is needed; tried: $$tried." >&2; \
	  echo "  Install one and name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	$(call say,creating .venv with $$($$python --version) ($$python)); \
	$$python -m venv .venv

# The stamp holds a checksum of what decides the installation, so that a fresh check-out or a new lint rule in
# pyproject.toml, which change only the date or another section, install nothing.
$(STAMP): $(LISTS) .venv/bin/python | system
	@lists=$$({ awk '/^\[/ {on = /^\[(build-system|project|tool\.setuptools)/} on' pyproject.toml; \
	  cat docker/constraints.txt; } | sha256sum); \
	if [ "$$(cat $@ 2>/dev/null || true)" != "$$lists" ]; then \
	  torch=$$(sed -n 's/^torch==//p' docker/constraints.txt); \
	  if [ "$$($(V)/python -c 'import importlib.metadata as m; print(m.version("torch").split("+")[0])' 2>/dev/null)" \
	       != "$$torch" ]; then \
	    wheel="torch==$$torch+$(TORCH_BUILD)"; \
	    $(call say,installing $$wheel); \
	    $(V)/pip install -q $(PIP_FLAGS) --no-deps --no-index "$$wheel" 2>/dev/null || \
	      $(V)/pip install -q $(PIP_FLAGS) --no-deps --index-url $(TORCH_INDEX) "$$wheel"; \
	  fi; \
	  $(call say,installing the Python packages of docker/constraints.txt); \
	  $(V)/pip install -q $(PIP_FLAGS) -c docker/constraints.txt -e '.[$(EXTRAS)]'; \
	  echo "$$lists" > $@; \
	fi; \
	touch $@
