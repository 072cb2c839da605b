"""Train a detector with MMDetection's own tool.

SGE is registered even if the config does not import it. --help shows the
options of MMDetection's tools/train.py. Config, data and machine are checked
first; --no-preflight leaves these checks out.
"""

from typing import Optional, Sequence

from ..engine import run_upstream_tool


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run MMDetection's ``tools/train.py``."""
    program = None if args is None else 'sge-mmdet train'
    run_upstream_tool('train.py', args, program)
