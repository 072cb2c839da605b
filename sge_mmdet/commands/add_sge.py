"""The command ``sge-mmdet add-sge``, once its arguments are parsed."""

import argparse

from ..conversion import write_sge_config
from .common import reported_errors


@reported_errors()
def run(options: argparse.Namespace) -> None:
    """Write the config and print it."""
    write_sge_config(
        options.config,
        options.out,
        options.overwrite,
        groups=options.groups,
        stages=tuple(map(bool, options.stages)),
        position=options.position,
        where=options.where,
        preserve=options.preserve,
    )
    print(f'# {options.out}\n{options.out.read_text()}')
