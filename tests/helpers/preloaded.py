"""What is imported before processes are forked: MMDetection without SGE."""

import gc

import mmdet.datasets
import mmdet.evaluation
import mmdet.models  # noqa: F401
import torch._dynamo  # noqa: F401

from tests.helpers.quick_runs import hasten_runs

hasten_runs()
gc.freeze()
