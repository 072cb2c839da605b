"""The console command ``sge-mmdet``, which dispatches to its subcommands.

It stands beside the package, since importing the package imports MMDetection:
the list of commands is shown at once, and without MMDetection as well. Each
command is a module of ``sge_mmdet.commands``, imported when it runs.
"""

import argparse
import difflib
import importlib
import sys
from typing import Optional, Sequence

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
    chosen = parser.parse_args(args)
    if chosen.command not in COMMANDS:
        near = difflib.get_close_matches(chosen.command, COMMANDS, 1, 0.4)
        parser.error(
            f'there is no command {chosen.command!r}; '
            + (f'the nearest is {near[0]}, ' if near else '')
            + f'"{PROGRAM} --help" lists all'
        )
    name = chosen.command.replace('-', '_')
    try:
        module = importlib.import_module(f'sge_mmdet.commands.{name}')
    except ModuleNotFoundError as error:
        if error.name == 'mmcv._ext':
            from sge_mmdet.compatibility import describe_missing

            sys.exit(
                f'error: {PROGRAM} {chosen.command} needs '
                + describe_missing([error.name])
            )
        sys.exit(
            f'error: {PROGRAM} {chosen.command} needs the package '
            f'{error.name}, which is not installed; "pip install -U openmim" '
            'and "mim install \'mmdet>=3,<3.4\'" install MMDetection and all '
            'that it needs'
        )
    module.main(chosen.arguments)


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
