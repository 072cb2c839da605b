"""Options that several scripts have."""

import argparse
from typing import Dict, Sequence, Tuple


def add_numbers(
    parser: argparse.ArgumentParser, numbers: Dict[str, Tuple[int, str]]
) -> None:
    """Add options that take a whole number.

    Args:
        parser (ArgumentParser): The parser.
        numbers (dict[str, tuple[int, str]]): Default and description of each
            option, by name without dashes.
    """
    for name, (default, what) in numbers.items():
        parser.add_argument(
            f'--{name}',
            type=int,
            default=default,
            help=f'{what}. Default: {default}',
        )


def add_choices(
    parser: argparse.ArgumentParser,
    name: str,
    what: str,
    choices: Sequence[str],
    default: Sequence[str],
) -> None:
    """Add an option that takes one or more of some words.

    Args:
        parser (ArgumentParser): The parser.
        name (str): Name of the option, without dashes.
        what (str): Description.
        choices (Sequence[str]): The words.
        default (Sequence[str]): Words that are taken without the option.
    """
    parser.add_argument(
        f'--{name}',
        nargs='+',
        choices=choices,
        default=list(default),
        help=f'{what}. Default: {" ".join(default) or "none"}',
    )
