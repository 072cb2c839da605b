"""Names of the files of a report."""

from typing import Tuple

TABLES = (
    'sizes.csv',
    'classes.csv',
    'operating_points.csv',
    'operating_points_of_classes.csv',
    'evaluation.md',
    'evaluation.json',
)
PICTURES = (
    'ap_by_size.png',
    'precision_recall.png',
    'operating_points.png',
    'classes.png',
    'errors.png',
    'missed.png',
)
# Files that diagnostics add.
DIAGNOSTICS = (
    'error_costs.csv',
    'calibration.csv',
    'confusions.csv',
    'error_costs.png',
    'calibration.png',
    'confusions.png',
)
# The pages in which all of it can be explored.
PAGE = 'report.html'
COMPARISON_PAGE = 'comparison.html'
COMPARISON_FILES = (
    *[f'comparison.{suffix}' for suffix in ('json', 'md', 'csv', 'png')],
    COMPARISON_PAGE,
)


def names_of_files(diagnose: bool) -> Tuple[str, ...]:
    """Return the names of the files that a report can have.

    Args:
        diagnose (bool): Whether it has diagnostics.
    """
    return (*TABLES, *PICTURES, *(DIAGNOSTICS if diagnose else ()), PAGE)
