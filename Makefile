# make demo   set up, synthesise the built-in dataset, run participant and group level on it
# make test   set up, run the whole test suite
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := demo
NPROC  ?= $(shell nproc)

# make bench  accuracy and speed of every algorithm and preset, into benchmarks/README.md (about an hour)
# make cohort 2 x 12 heads at 2 mm from raw phase to the group's result, against the truth (hours; goes on where it stopped)
# make bench-anatomy  labels and regional numbers on 28 heads, into benchmarks/README.md (hours; goes on where it stopped)
#             LABELS: nuclei of another atlas in MNI space, such as the Allen Institute's, with its table beside it
LABELS ?= ../shared/data/atlases/AllenAtlas.nii.gz
LABELS_TABLE ?= $(LABELS:.nii.gz=.json)
ANATOMY ?= benchmarks/anatomy
COHORT ?= cohort
.PHONY: demo test bench bench-anatomy cohort lint types lock clean

$(VENV)/.installed: pyproject.toml requirements.lock
	command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) was not found; install Python 3.11 or name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=requirements.lock $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/qsmprep-phantom $(DEMO)/bids --groups control patient --participants 3 --voxel-size 2 --t1w-voxel-size 2 --echoes 4 --seed 1 --nprocs $(NPROC)
	$(BIN)/qsmprep $(DEMO)/bids $(DEMO)/derivatives/qsmprep participant -w $(DEMO)/work --nprocs $(NPROC)
	$(BIN)/qsmprep $(DEMO)/bids $(DEMO)/derivatives/qsmprep group
	@echo "Reports: $(CURDIR)/$(DEMO)/derivatives/qsmprep/index.html (participants)"
	@echo "         $(CURDIR)/$(DEMO)/derivatives/qsmprep/group/group.html (group)"

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(NPROC) --dist loadfile tests

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py

bench-anatomy: $(VENV)/.installed
	$(BIN)/python benchmarks/anatomy.py $(ANATOMY) --labels $(LABELS) --labels-tsv $(LABELS_TABLE)

cohort: $(VENV)/.installed
	$(BIN)/python benchmarks/cohort.py $(COHORT) --nprocs $(NPROC)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

lock:
	uv pip compile pyproject.toml --extra fftw --extra test --extra dev --universal --python-version 3.11 --no-annotate --no-header --upgrade -o requirements.lock

clean:
	rm -rf $(DEMO) build dist *.egg-info
