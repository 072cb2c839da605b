"""The console command ``sge-mmdet``, which dispatches to its subcommands.

It stands beside ``sge_mmdet``, whose import loads PyTorch and MMDetection and
takes seconds. Each command has a module here, which parses its arguments, and
one of the same name in ``sge_mmdet.commands``, which is imported to run it.
Help and errors of arguments therefore appear at once.
"""

import argparse
import difflib
import importlib
import sys
from typing import Optional, Sequence

from . import running

PROGRAM = 'sge-mmdet'
# The one list of commands, each with the first line of its module's docstring.
COMMANDS = {
    'add-sge': 'Write a short config that inherits another and adds SGE',
    'compare': "Compare two detectors' results, with confidence intervals",
    'convert-checkpoint': 'Convert a checkpoint for models with SGE',
    'detect-onnx': "Run an ONNX detector on a config's test data",
    'draw-run': 'Draw the losses, AP and detections of a training run',
    'evaluate': 'Evaluate detections by object size',
    'export-onnx': 'Export a detector to ONNX and check the file',
    'make-digits': "Make the demo's data set of handwritten digits",
    'model-stats': 'Print parameters and GFLOPs of a model',
    'new-config': 'Write a short config that trains a detector on your data',
    'run-study': 'Train configs with several seeds and compare them',
    'test': "Test a detector with MMDetection's own tool",
    'train': "Train a detector with MMDetection's own tool",
    'visualize': 'Draw what the SGE layers of a detector do to an image',
}


def main(args: Optional[Sequence[str]] = None) -> None:
    """Run a command.

    Args:
        args (Sequence[str], optional): Name of the command and its arguments.
            Default: None, those of this process.
    """
    parser = _create_parser()
    words = sys.argv[1:] if args is None else args
    if not words:
        parser.print_help(sys.stderr)
        sys.exit(2)
    chosen = parser.parse_args(words)
    if chosen.command not in COMMANDS:
        near = difflib.get_close_matches(chosen.command, COMMANDS, 1, 0.4)
        parser.error(
            f'there is no command {chosen.command!r}; '
            + (f'the nearest is {near[0]}, ' if near else '')
            + f'"{PROGRAM} --help" lists all'
        )
    name = chosen.command.replace('-', '_')
    command = importlib.import_module(f'{__name__}.{name}').main
    running.is_console = args is None
    command(chosen.arguments)


def _create_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    lines = [
        f'  {name.ljust(width)}  {help}' for name, help in COMMANDS.items()
    ]
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description='Spatial Group-wise Enhance (SGE) for MMDetection 3.x.',
        epilog='\n'.join(
            [
                'commands:',
                *lines,
                '',
                f'"{PROGRAM} COMMAND --help" shows its arguments.',
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'command', metavar='COMMAND', help='one of those below'
    )
    parser.add_argument(
        'arguments',
        metavar='...',
        nargs=argparse.REMAINDER,
        help='arguments of the command',
    )
    return parser
