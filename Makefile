# make demo      train, test and report on a small real data set
# make compare   the same without SGE, and is the difference more than chance?
# make study     no attention, SE and SGE with three seeds each, in one table
# make bench     SGE's time and memory beside its reference and other attention
# make test      the tests
# make soak      long use, edited and hostile files; counts everything tried
# make env       the environment of all, in $(VENV)
# make lint      style, format, spelling and types
# make docs      the documentation as a site, in docs/_build/html
# make figures   the tables of README and docs, from docs/results

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
DATA := data/digits
CONFIG := configs/demo/faster-rcnn_r18-sge_fpn_400i_digits.py
WORK_DIR := work_dirs/demo
PLAIN_CONFIG := configs/demo/faster-rcnn_r18_fpn_400i_digits.py
PLAIN_WORK_DIR := work_dirs/demo_plain
STUDY := w16 w16-se w16-sge
BENCH_DIR := work_dirs/bench
TRUTH := $(DATA)/annotations/val.json
RUN := $(VENV)/bin/python

.PHONY: env demo compare study bench test soak lint docs figures
env:
	@$(PYTHON) tools/dev/setup_env.py $(VENV)

# Trains and tests a config, then reports on it. The test writes its detections
# and leaves the table to the report.
define run_demo
@$(RUN) tools/train.py $(1) --work-dir $(2) \
    $(if $(wildcard $(2)/*.pth),--resume)
@$(RUN) tools/test.py $(1) $$(cat $(2)/last_checkpoint) --work-dir $(2) \
    --cfg-options test_evaluator.format_only=True \
    test_evaluator.outfile_prefix=$(2)/test
@$(RUN) tools/draw_run.py $(1) $(2)
@$(RUN) tools/evaluate.py $(TRUTH) $(2)/test.bbox.json \
    --images $(DATA)/val --out-dir $(2)/evaluation
endef

demo: env
	@$(RUN) tools/make_digits.py --out $(DATA)
	$(call run_demo,$(CONFIG),$(WORK_DIR))

compare: demo
	$(call run_demo,$(PLAIN_CONFIG),$(PLAIN_WORK_DIR))
	@$(RUN) tools/compare.py $(PLAIN_WORK_DIR)/test.bbox.json \
	    $(WORK_DIR)/test.bbox.json --ground-truth $(TRUTH) --names plain SGE \
	    --images $(DATA)/val --out-dir $(WORK_DIR)/comparison

study: env
	@$(RUN) tools/make_digits.py --out $(DATA)
	@$(RUN) tools/run_study.py $(STUDY:%=configs/demo/faster-rcnn_r50-%_fpn_400i_digits.py) \
	    --names none SE SGE --seeds 0 1 2 --work-dir work_dirs/study

bench: env
	@$(RUN) tools/benchmark/ops.py --device cpu \
	    --out $(BENCH_DIR)/ops_cpu.csv
	@$(RUN) tools/benchmark/network.py --device cpu --size 256 352 \
	    --out $(BENCH_DIR)/network_cpu.csv
	@echo "written to $(BENCH_DIR)"

# One process a core, each of one thread. tests/conftest.py orders the files.
test: env
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n logical --maxprocesses 4 --dist loadfile \
    --no-loadscope-reorder

soak: env
	@$(RUN) tools/dev/fuzz_files.py --files 5400
	@$(RUN) tools/dev/soak.py
	@$(RUN) -m pytest tests/test_evaluation/test_engines.py \
    tests/test_evaluation/test_protocols.py --data-sets 500

lint: env
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m codespell_lib
	@$(RUN) -m mypy

docs: env
	@$(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "written to docs/_build/html/index.html"

figures: env
	@$(RUN) tools/dev/render_figures.py
