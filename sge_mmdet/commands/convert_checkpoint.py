"""The command ``sge-mmdet convert-checkpoint``, its arguments parsed."""

import argparse
import logging

from mmdet.utils import register_all_modules

from ..conversion import convert_checkpoint
from ..utils import load_config, quiet_log
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Convert the checkpoint and print the steps."""
    register_all_modules()
    cfg = load_config(options.config) if options.config else None
    # MMEngine logs that it loads a checkpoint even if there is none.
    with quiet_log(logging.WARNING):
        steps = convert_checkpoint(
            options.checkpoint,
            options.out,
            cfg,
            options.overwrite,
            options.fold,
        )
    print(f'{options.out}: ' + '; '.join(steps))
