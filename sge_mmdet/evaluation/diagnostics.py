"""What AP does not tell: thresholds, costs of errors, calibration, classes."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from ..utils.tables import Cell, Table
from .bins import SizeBin, with_all_sizes
from .confusion import Calibration, Confusion, calibrate, confuse
from .matching import Matches, match
from .operating_points import (
    HIT_OVERLAP,
    OperatingPoints,
    points_of_matches,
)
from .structures import Detections, GroundTruth
from .tide import ErrorCosts, cost_of_errors

# Largest number of confused pairs of classes in the table, for each size.
MOST_PAIRS = 10

# Titles of the tables, by the names of their files in a report.
TITLES = dict(
    operating_points='Operating points (highest F1)',
    error_costs='AP50 that errors cost',
    calibration='Calibration of scores',
    confusions='Confused classes',
)


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of a result by object size, at an IoU of 0.5.

    The lists have one entry for each bin. It is printed as its tables.

    Attributes:
        bins: Bins of object sizes; the first contains all sizes.
        points: Score thresholds, by size and class.
        costs: What each kind of error costs in AP.
        calibrations: Scores beside the share of hits; None if scores are
            beyond 0 to 1.
        confusions: Confused classes, among the detections from the score with
            the highest F1 on.
        matches: Matches in all bins at an IoU of 0.5.
    """

    bins: List[SizeBin]
    points: OperatingPoints
    costs: List[ErrorCosts]
    calibrations: List[Optional[Calibration]]
    confusions: List[Confusion]
    matches: Matches

    def __str__(self) -> str:
        """Return the tables as text."""
        return '\n\n'.join(
            f'{title}\n{table.text()}'
            for title, table in self.tables().items()
        )

    def tables(self) -> Dict[str, Table]:
        """Return the tables by title."""
        return {
            TITLES['operating_points']: self.points.table(),
            TITLES['error_costs']: self.cost_table(),
            TITLES['calibration']: self.calibration_table(),
            TITLES['confusions']: self.confusion_table(),
        }

    def cost_table(self) -> Table:
        """Return AP50 and what it would gain without each kind of error."""
        kinds = [*self.costs[0].counts, 'false positive', 'false negative']
        return Table(
            ('size', 'AP50', *kinds),
            [
                (cost.bin.name, cost.ap, *map(cost.gains.get, kinds))
                for cost in self.costs
            ],
        )

    def calibration_table(self) -> Table:
        """Return the expected and the largest error of the scores."""
        rows: List[List[Cell]] = []
        for bin, one in zip(self.bins, self.calibrations):
            values: Sequence[Cell] = [None] * 3
            if one is not None:
                values = [
                    int(one.counts.sum()),
                    one.expected_error,
                    one.largest_error,
                ]
            rows.append([bin.name, *values])
        return Table(
            ('size', 'detections', 'expected error', 'largest error'), rows
        )

    def confusion_table(self) -> Table:
        """Return the classes that were confused most often in each size."""
        rows: List[List[Cell]] = []
        for one in self.confusions:
            rows += [
                [one.bin.name, one.score_threshold, *pair]
                for pair in one.pairs()[:MOST_PAIRS]
            ]
        return Table(
            ('size', 'score', 'object', 'taken for', 'count', 'share'), rows
        )

    def to_dict(self) -> Dict[str, Any]:
        """Return all of it as plain dicts and lists, for JSON."""
        return dict(
            operating_points=self.points.to_dict(),
            error_costs=[
                dict(
                    size=cost.bin.name,
                    ap50=cost.ap,
                    gains=cost.gains,
                    counts=cost.counts,
                )
                for cost in self.costs
            ],
            calibration=self.calibration_table().records(),
            confusion=[
                dict(
                    size=one.bin.name,
                    score=one.score_threshold,
                    matrix=one.matrix.tolist(),
                )
                for one in self.confusions
            ],
        )


def diagnose_detections(
    ground_truth: GroundTruth,
    detections: Detections,
    bins: Sequence[SizeBin],
    metric: str = 'bbox',
    max_dets: int = 100,
) -> Diagnostics:
    """Diagnose detections by object size, at an IoU of 0.5.

    Args:
        ground_truth (GroundTruth): The ground truth.
        detections (Detections): Detections on its images.
        bins (Sequence[SizeBin]): Bins of object sizes besides "all".
        metric (str): Metric, "bbox" or "segm". Default: "bbox".
        max_dets (int): Largest number of detections per image and class.
            Default: 100.

    Returns:
        Diagnostics: Operating points, costs of errors, calibration and
        confused classes.

    Raises:
        ValueError: If the metric is "proposal", which has no classes.
    """
    if metric == 'proposal':
        raise ValueError(
            'expected the metric of diagnostics to be bbox or segm, got '
            "'proposal', which ignores the classes"
        )
    bins = with_all_sizes(bins)
    matches = match(
        ground_truth, detections, bins, metric, [HIT_OVERLAP], max_dets
    )
    points = points_of_matches(matches, bins, ground_truth.category_names)
    scores = [points.threshold(bin.name) for bin in bins]
    data = ground_truth, detections
    by_bin = [(bin, matches.of_bin(a)) for a, bin in enumerate(bins)]
    return Diagnostics(
        bins,
        points,
        [cost_of_errors(*data, bin, metric, own) for bin, own in by_bin],
        [calibrate(own, bin) for bin, own in by_bin],
        confuse(*data, bins, metric, matches, scores),
        matches,
    )
