"""An evaluation as tables by size and by class."""

from ..utils.tables import Table
from .evaluation_result import EvaluationResult


def size_table(result: EvaluationResult) -> Table:
    """Return AP and AR by object size, with areas in square pixels.

    Args:
        result (EvaluationResult): The evaluation.

    Returns:
        Table: One row per bin. Extra thresholds have columns of their own.
    """
    return result.table()


def class_table(result: EvaluationResult) -> Table:
    """Return each class's AP and number of objects by object size.

    Args:
        result (EvaluationResult): The evaluation.

    Returns:
        Table: One row per class.
    """
    return result.table(classes=True)
