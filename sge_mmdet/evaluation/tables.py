"""An evaluation as tables by size and by class."""

from typing import TYPE_CHECKING, List

from ..utils.tables import Cell, Table

if TYPE_CHECKING:
    from .evaluation_result import EvaluationResult


def size_table(result: 'EvaluationResult') -> Table:
    """Return AP and AR by object size, with areas in square pixels.

    Args:
        result (EvaluationResult): The evaluation.

    Returns:
        Table: One row per bin. Extra thresholds have columns of their own.
    """
    low = (0.25,) if 0.25 in result.thresholds else ()
    ious = tuple(dict.fromkeys((*result.extra_thresholds, *low, 0.5, 0.75)))
    columns = [f'AP{100 * iou:.0f}' for iou in ious]
    return Table(
        ('size', 'area', 'objects', 'AP', *columns, 'AR'),
        [
            (
                bin.name,
                bin.text,
                result.count(bin.name),
                result.ap(size=bin.name),
                *(result.ap(iou, bin.name) for iou in ious),
                result.ar(bin.name),
            )
            for bin in result.bins
        ],
    )


def class_table(result: 'EvaluationResult') -> Table:
    """Return each class's AP and number of objects by object size.

    Args:
        result (EvaluationResult): The evaluation.

    Returns:
        Table: One row per class.
    """
    header = ['class']
    for bin in result.bins:
        header += [f'AP {bin.name}', f'{bin.name} objects']
    rows: List[List[Cell]] = []
    for k, name in enumerate(result.category_names):
        row: List[Cell] = [name]
        for bin in result.bins:
            row += [
                result.ap(size=bin.name, category=k),
                result.count(bin.name, k),
            ]
        rows.append(row)
    return Table(header, rows)
