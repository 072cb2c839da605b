"""The command ``sge-mmdet train``, whose arguments are MMDetection's."""

import argparse

from ..engine import run_upstream_tool
from .common import plain_warnings


@plain_warnings()
def run(options: argparse.Namespace) -> None:
    """Run MMDetection's ``tools/train.py``."""
    run_upstream_tool('train.py', options.arguments, options.program)
