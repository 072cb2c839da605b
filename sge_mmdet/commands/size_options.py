"""Ground truth and limits by the options about object sizes."""

import argparse
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from ..engine import read_classes
from ..evaluation import GroundTruth, read_ground_truth
from ..evaluation.bins import SizeBin, parse_size_bins
from ..evaluation.image_groups import with_groups
from ..evaluation.protocols import Protocol, find_protocol
from ..evaluation.settings import check_max_dets


def choose_protocol(args: argparse.Namespace) -> Protocol:
    """Return the protocol with the sizes and detections of the options.

    Args:
        args (argparse.Namespace): Parsed options.

    Raises:
        ValueError: If the sizes or the number of detections are wrong.
    """
    words = args.size_bins
    return find_protocol(getattr(args, 'protocol', None), words).with_options(
        parse_size_bins(words) if words else None,
        None if args.max_dets is None else check_max_dets(args.max_dets),
    )


def find_max_dets(args: argparse.Namespace) -> int:
    """Return the largest number of detections per image and class.

    Args:
        args (argparse.Namespace): Parsed options.

    Raises:
        ValueError: If it is not 1 or more.
    """
    return choose_protocol(args).counted


def group_files(args: argparse.Namespace) -> List[str]:
    """Return the file that ``--group-by`` names, which is an input.

    Args:
        args (argparse.Namespace): Parsed options.
    """
    is_file = bool(args.group_by) and args.group_by.endswith('.json')
    return [args.group_by] if is_file else []


def read_sized_ground_truth(
    path: Union[str, Path],
    args: argparse.Namespace,
    classes: Optional[Sequence[str]] = None,
) -> Tuple[GroundTruth, List[SizeBin]]:
    """Read ground truth with the options about object sizes.

    Args:
        path (str or Path): Annotation file in COCO's format.
        args (argparse.Namespace): Parsed options.
        classes (Sequence[str], optional): Names of the classes to evaluate
            unless ``--classes`` names them. Default: None, all classes of the
            file.

    Returns:
        tuple[GroundTruth, list[SizeBin]]: Ground truth and size bins.

    Raises:
        OSError, RuntimeError or ValueError: In the same cases as
            :func:`read_ground_truth`, :func:`read_classes`,
            :func:`parse_size_bins` and :func:`with_groups`.
    """
    bins = list(choose_protocol(args).bins)
    words = getattr(args, 'classes', None)
    if words == ['all']:
        ground_truth = read_ground_truth(path, 'all')
    elif words:
        named = read_classes(words[0]) if len(words) == 1 else None
        # The labels of CocoDataset follow the file, whatever the order in
        # the config.
        ground_truth = read_ground_truth(path, named or words, not named)
    else:
        ground_truth = read_ground_truth(path, classes)
    if getattr(args, 'group_by', None):
        ground_truth = with_groups(ground_truth, args.group_by, path)
    return (
        ground_truth.with_box_areas() if args.area == 'box' else ground_truth,
        bins,
    )
