"""The device that a script is asked to use.

On a CPU, Triton's interpreter runs the kernels, which it has to be told before
Triton is imported, and a GPU of the machine is hidden.
"""

import argparse
import os

import torch

_ON_A_CPU = dict(CUDA_VISIBLE_DEVICES='', TRITON_INTERPRET='1')


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` to a parser.

    Args:
        parser (ArgumentParser): The parser.
    """
    parser.add_argument(
        '--device',
        default='cuda' if torch.cuda.is_available() else 'cpu',
        help='where to run. Default: cuda if there is a GPU, else cpu',
    )


def is_cpu(device: str) -> bool:
    """Return whether a device is the CPU.

    Args:
        device (str): Such as "cpu" or "cuda:0".
    """
    return device.split(':')[0] == 'cpu'


def use_cpu_alone() -> None:
    """Set the environment of this process and of those that it starts."""
    os.environ.update(_ON_A_CPU)


def asked() -> str:
    """Return the device of the command line, before its options are read.

    For scripts that import Triton at their head.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_device_option(parser)
    return parser.parse_known_args()[0].device
