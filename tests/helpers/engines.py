"""The engines that are there."""

from sge_mmdet.evaluation.engines import RUNS
from sge_mmdet.evaluation.native_engine import is_built

ENGINES = tuple(name for name in RUNS if name != 'native' or is_built())
