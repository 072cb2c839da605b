"""The command ``sge-mmdet convert-checkpoint``, its arguments parsed."""

import argparse

from mmdet.utils import register_all_modules

from ..conversion import convert_checkpoint
from ..utils import load_config
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Convert the checkpoint and print the steps."""
    register_all_modules()
    cfg = load_config(options.config) if options.config else None
    steps = convert_checkpoint(
        options.checkpoint, options.out, cfg, options.overwrite
    )
    print(f'{options.out}: ' + '; '.join(steps))
