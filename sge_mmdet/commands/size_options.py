"""Options that the command lines about object sizes share."""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..evaluation import GroundTruth, read_ground_truth
from ..evaluation.bins import SizeBin, parse_size_bins


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--metric``, ``--size-bins`` and ``--area`` to a parser."""
    parser.add_argument('--metric', default='bbox', choices=('bbox', 'segm'))
    parser.add_argument(
        '--size-bins',
        nargs='+',
        default=['coco'],
        help='coco, aitod, or limits in pixels such as 0 8 16 32 inf',
    )
    parser.add_argument(
        '--area',
        default='annotation',
        choices=('annotation', 'box'),
        help="an object's size: its annotated area, as COCO has it, or that "
        'of its box',
    )


def read_sized_ground_truth(
    path: Union[str, Path],
    args: argparse.Namespace,
    classes: Optional[Sequence[str]] = None,
) -> Tuple[GroundTruth, List[SizeBin]]:
    """Read ground truth as :func:`add_size_options` say.

    Args:
        path (str or Path): The file.
        args (argparse.Namespace): The options.
        classes (Sequence[str], optional): Those to evaluate. Default: None,
            all of the file's.

    Returns:
        tuple[GroundTruth, list[SizeBin]]: Ground truth and size bins.

    Raises:
        OSError or ValueError: As :func:`read_ground_truth` and
            :func:`parse_size_bins`.
    """
    bins = parse_size_bins(args.size_bins)
    ground_truth = read_ground_truth(path, classes)
    return (
        ground_truth.with_box_areas() if args.area == 'box' else ground_truth,
        bins,
    )
