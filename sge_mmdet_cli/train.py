"""Train a detector with MMDetection's own tool.

SGE is registered even if the config does not import it. --help shows the
options of MMDetection's tools/train.py. Config, data and machine are checked
first; --no-preflight leaves these checks out.
"""

from typing import Optional, Sequence

from .running import run_upstream_command


def main(args: Optional[Sequence[str]] = None) -> None:
    """Show the help of MMDetection's ``tools/train.py``, or run it."""
    run_upstream_command('train', args)
