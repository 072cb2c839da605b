# make demo   train, test and report on a small real data set
# make test   the tests
# make env    the environment of both, in $(VENV)
# make lint   the linter

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
DATA := data/digits
CONFIG := configs/demo/faster-rcnn_r18-sge_fpn_400i_digits.py
WORK_DIR := work_dirs/demo
RUN := $(VENV)/bin/python

.PHONY: env demo test lint
env:
	@$(PYTHON) tools/dev/setup_env.py $(VENV)

demo: env
	@$(RUN) tools/make_digits.py --out $(DATA)
	@$(RUN) tools/train.py $(CONFIG) --work-dir $(WORK_DIR) --resume
	@$(RUN) tools/test.py $(CONFIG) $$(cat $(WORK_DIR)/last_checkpoint) \
	    --work-dir $(WORK_DIR) \
	    --cfg-options test_evaluator.outfile_prefix=$(WORK_DIR)/test
	@$(RUN) tools/report.py $(CONFIG) $(WORK_DIR)

test: env
	@$(RUN) -m pytest

lint: env
	@$(RUN) -m ruff check .
