"""Classes of a config against those of its annotation files."""

import difflib
from collections import Counter
from typing import Any, List, Optional, Sequence, Tuple

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from ...utils import printable_list
from ...utils.class_counts import STUFF, WEIGHTS, class_counts
from .annotations import AnnotationFile
from .findings import Findings


def dataset_classes(dataset: dict) -> Optional[Tuple[str, ...]]:
    """Return the classes of a data set that numbers them as CocoDataset does.

    Args:
        dataset (dict): Config of a data set.

    Returns:
        tuple[str, ...] or None: The classes; None for another data set, such
        as those with their own way to read annotations.
    """
    kind = dataset.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, CocoDataset)):
        return None
    known: Any = cls
    if (
        known.load_data_list is not CocoDataset.load_data_list
        or known.COCOAPI is not CocoDataset.COCOAPI
    ):
        return None
    info = dataset.get('metainfo') or {}
    classes = info.get('classes', info.get('CLASSES'))
    if classes is None:
        classes = known.METAINFO.get('classes')
    if isinstance(classes, str) or not classes:
        # A name can be that of a file, which MMEngine reads.
        return None
    return tuple(classes)


def check_file_classes(
    findings: Findings,
    where: str,
    classes: Sequence[str],
    file: AnnotationFile,
) -> None:
    """Check a data set's classes against the categories of its file.

    MMDetection gives label i to the i-th category of the file that is a
    class, whatever the order of the classes is.

    Args:
        findings (Findings): Where findings are added.
        where (str): Place of the data set in the config.
        classes (Sequence[str]): Its classes.
        file (AnnotationFile): Its annotations.
    """
    names = file.category_names()
    if names is None or _is_ambiguous(findings, classes, names, file):
        return
    lacking = [name for name in classes if name not in names]
    used = [name for name in names if name in classes]
    place = f'{where}.metainfo.classes'
    if not used:
        findings.error(
            f'{place}: none of the classes {printable_list(classes)} is a '
            f'category of {file.path}; expected '
            f'classes=({_quoted(names)}), and {len(names)} as num_classes of '
            'the heads'
        )
        return
    if list(classes[: len(used)]) != used:
        mended = [name for name in names if name in classes or lacking]
        findings.error(
            f'{place}: {_describe(lacking, names) or "the order is wrong"}, '
            'so that labels would get the names of other classes; expected '
            f'the order of {file.path}, classes=({_quoted(mended)})'
        )
        return
    if lacking:
        findings.warn(
            f'{place}: {_describe(lacking, names)} in {file.path}; no object '
            'of it is found there'
        )
    unused = [name for name in names if name not in classes]
    if unused and not lacking:
        findings.warn(
            f'{place}: {len(unused)} of {len(names)} categories of '
            f'{file.path} are not among the classes: '
            f'{printable_list(unused)}; their objects count as background'
        )


def _is_ambiguous(
    findings: Findings,
    classes: Sequence[str],
    names: Sequence[Any],
    file: AnnotationFile,
) -> bool:
    """Return whether the name of a class stands for several categories."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if not {*repeated} & {*classes}:
        return False
    findings.error(
        f'{file.path}: expected each name of a category once, got '
        f'{printable_list(repeated)} several times; give each category a '
        'name of its own'
    )
    return True


def _describe(lacking: Sequence[str], names: Sequence[Any]) -> str:
    """Return which classes are not in a file, with the nearest names."""
    if not lacking:
        return ''
    texts = [name for name in names if isinstance(name, str)]
    parts = []
    for name in lacking[:4]:
        near = difflib.get_close_matches(name, texts, 1)
        hint = f' (the nearest is {printable_list(near)})' if near else ''
        parts.append(f'{printable_list([name])}{hint}')
    rest = f' and {len(lacking) - 4} more' if len(lacking) > 4 else ''
    return f'there is no category {", ".join(parts)}{rest}'


def _quoted(names: Sequence[Any]) -> str:
    shown: List[str] = [repr(printable_list([name])) for name in names[:20]]
    return ', '.join(shown) + (', ...' if len(names) > 20 else ',')


def check_counts(
    findings: Findings, model: dict, classes: Sequence[str]
) -> None:
    """Check the number of classes of every head.

    Args:
        findings (Findings): Where findings are added.
        model (dict): Config of the model.
        classes (Sequence[str]): Classes of the training.
    """
    if 'language_model' in model:
        # Its heads compare with the words of the classes.
        return
    number = len(classes)
    for count in class_counts(model):
        key, value = count.path[-1], count.value
        if key == STUFF:
            continue
        if key == WEIGHTS:
            if len(value) != number + 1:
                findings.error(
                    f'{count.name}: expected a weight for each of the '
                    f'{number} classes and one for the background, got '
                    f'{len(value)}'
                )
        elif value < number:
            findings.error(
                f'{count.name}={value}, and train_dataloader has {number} '
                f'classes, {printable_list(classes)}; set it to {number}'
            )
        elif value > number:
            findings.warn(
                f'{count.name}={value}, and train_dataloader has {number} '
                f'classes, {printable_list(classes)}; the others are never '
                f'learned. Set it to {number}'
            )
