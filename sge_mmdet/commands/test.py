"""The command ``sge-mmdet test``, whose arguments are MMDetection's."""

import argparse

from ..engine import run_upstream_tool
from .common import plain_warnings


@plain_warnings()
def run(options: argparse.Namespace) -> None:
    """Run MMDetection's ``tools/test.py``."""
    run_upstream_tool('test.py', options.arguments, options.program)
