"""Test a detector with MMDetection's own tool.

SGE is registered even if the config does not import it. --help shows the
options of MMDetection's tools/test.py.
"""

from typing import Optional, Sequence

from .running import run_upstream_command


def main(args: Optional[Sequence[str]] = None) -> None:
    """Show the help of MMDetection's ``tools/test.py``, or run it."""
    run_upstream_command('test', args)
