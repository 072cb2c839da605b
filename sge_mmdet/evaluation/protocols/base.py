"""What the protocols of data sets have in common, and COCO's own."""

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..bins import SizeBin, size_bins
from ..engines import evaluate
from ..evaluation_result import EvaluationResult
from ..image_groups import warn_of_sources
from ..protocol_labels import ProtocolLabels
from ..resampled_figures import ResampledFigures, resample_by_settings
from ..settings import COCO_THRESHOLDS, METRICS, Settings
from ..structures import Detections, GroundTruth

# An area that is in no bin. Objects of this area are ignored, but are not
# crowds.
NO_SIZE = 1e12


@dataclass(frozen=True)
class Protocol:
    """COCO's protocol.

    Source: pycocotools, ``cocoeval.py``. AP is the mean over the IoU
    thresholds 0.5 to 0.95 and over the classes, at 101 recalls, with at most
    100 detections per image and class. Crowds are ignored; the overlap with
    them is the intersection over the detection's area (IoD). Keys "ignore" do
    not count.

    Attributes:
        bins: Bins of object sizes; a first one that is called "all" replaces
            the bin of all sizes.
        max_dets: Largest numbers of detections per image and class, ascending.
        ap_max_dets: The one of them for AP; None for the largest.
        thresholds: IoU thresholds.
        extra_thresholds: IoU thresholds with an AP of their own.
    """

    name: ClassVar[str] = 'coco'
    metrics: ClassVar[Tuple[str, ...]] = METRICS
    # What has at most ``counted`` detections.
    counted_of: ClassVar[str] = 'an image and class'
    # Whether COCO's rules of what is ignored hold.
    has_coco_rules: ClassVar[bool] = True

    bins: Tuple[SizeBin, ...] = tuple(size_bins('coco'))
    max_dets: Tuple[int, ...] = (100,)
    ap_max_dets: Optional[int] = None
    thresholds: Sequence[float] = COCO_THRESHOLDS
    extra_thresholds: Tuple[float, ...] = ()

    @property
    def counted(self) -> int:
        """int: Largest number of detections per image for AP."""
        return self.ap_max_dets or self.max_dets[-1]

    def with_options(
        self,
        bins: Optional[Sequence[SizeBin]] = None,
        max_dets: Optional[int] = None,
        thresholds: Optional[Sequence[float]] = None,
    ) -> 'Protocol':
        """Return the protocol with other settings but the same rules.

        Args:
            bins (Sequence[SizeBin], optional): Bins of object sizes. What the
                protocol calls "all" stays. Default: None, the protocol's.
            max_dets (int, optional): Largest number of detections per image
                and class. Default: None, the protocol's numbers.
            thresholds (Sequence[float], optional): IoU thresholds. Default:
                None, the protocol's.
        """
        changes: dict = {}
        if bins is not None:
            changes['bins'] = tuple(
                replace(bin, outside_is_crowd=self.bins[0].outside_is_crowd)
                for bin in bins
            )
            if self.bins[0].name == 'all':
                own = [bin for bin in changes['bins'] if bin.name != 'all']
                changes['bins'] = (self.bins[0], *own)
        if max_dets is not None:
            changes.update(max_dets=(max_dets,), ap_max_dets=None)
        if thresholds is not None:
            changes['thresholds'] = tuple(thresholds)
        return replace(self, **changes)

    def prepare(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        metric: str = 'bbox',
    ) -> Tuple[GroundTruth, Detections]:
        """Apply the rules of what is ignored.

        Args:
            ground_truth (GroundTruth): The ground truth, as it was read.
            detections (Detections): Detections on its images.
            metric (str): Metric, one of ``metrics``. Default: "bbox".

        Returns:
            tuple[GroundTruth, Detections]: Both for :meth:`evaluate`. The
            ground truth depends on the detections in nothing.

        Raises:
            ValueError: If the protocol does not know the metric, or the
                ground truth lacks what it needs.
        """
        if metric not in self.metrics:
            raise ValueError(
                f'the protocol {self.name} evaluates '
                f'{" and ".join(self.metrics)}, got the metric {metric!r}; '
                'choose one of these metrics, or the protocol coco'
            )
        return self._prepare(ground_truth, detections, metric)

    def prepare_results(
        self,
        ground_truth: GroundTruth,
        results: Sequence[Detections],
        metric: str = 'bbox',
    ) -> Tuple[GroundTruth, List[Detections]]:
        """Apply the rules to several results; see :meth:`prepare`.

        Args:
            ground_truth (GroundTruth): The ground truth, as it was read.
            results (Sequence[Detections]): Detections on its images, of one
                result or more.
            metric (str): Metric, one of ``metrics``. Default: "bbox".

        Returns:
            tuple[GroundTruth, list[Detections]]: The ground truth, and the
            detections of each result.

        Raises:
            ValueError: As :meth:`prepare`.
        """
        prepared = [
            self.prepare(ground_truth, detections, metric)
            for detections in results
        ]
        return prepared[0][0], [detections for _, detections in prepared]

    def _prepare(
        self, ground_truth: GroundTruth, detections: Detections, metric: str
    ) -> Tuple[GroundTruth, Detections]:
        """Apply the rules; takes and returns what :meth:`prepare` does."""
        return ground_truth, detections

    def evaluate(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        metric: str = 'bbox',
        engine: Optional[str] = None,
    ) -> EvaluationResult:
        """Evaluate what :meth:`prepare` returned.

        Args:
            ground_truth (GroundTruth): Prepared ground truth.
            detections (Detections): Prepared detections.
            metric (str): Metric. Default: "bbox".
            engine (str, optional): Engine, "native", "hotcoco" or
                "pycocotools". Default: None, the first of them that is there.

        Returns:
            EvaluationResult: Figures by size, and the protocol's own.

        Raises:
            ValueError: If the engine is unknown, or masks are evaluated but
                missing.
        """
        result = evaluate(
            ground_truth,
            detections,
            self.bins,
            metric,
            self.thresholds,
            self.max_dets,
            engine,
            self.extra_thresholds,
        )
        result = replace(result, ap_max_dets=self.ap_max_dets)
        return replace(
            result,
            figures={
                **recalls_of(result),
                **self._figures(ground_truth, detections, result, metric),
            },
        )

    def _figures(
        self,
        ground_truth: GroundTruth,
        detections: Detections,
        result: EvaluationResult,
        metric: str,
    ) -> Dict[str, Optional[float]]:
        """Return the protocol's figures besides those by size."""
        return {}

    def resample(
        self,
        ground_truth: GroundTruth,
        results: Sequence[Detections],
        metric: str = 'bbox',
        resamples: int = 1000,
        seed: int = 0,
        progress: bool = False,
    ) -> List[ResampledFigures]:
        """Resample the images of what :meth:`prepare_results` returned.

        Args:
            ground_truth (GroundTruth): Prepared ground truth.
            results (Sequence[Detections]): Prepared detections of each
                result.
            metric (str): Metric, "bbox" or "segm". Default: "bbox".
            resamples (int): Number of resamples. Default: 1000.
            seed (int): Seed of the resampling. Default: 0.
            progress (bool): Whether to show a progress bar. Default: False.

        Returns:
            list[ResampledFigures]: Figures of each result, on the same
            resamples.

        Raises:
            ValueError: As :func:`resample_results`.
        """
        warn_of_sources(ground_truth)
        return resample_by_settings(
            ground_truth,
            results,
            Settings(self.bins, metric, self.thresholds, (self.counted,)),
            resamples,
            seed,
            progress,
        )


def recalls_of(result: EvaluationResult) -> Dict[str, Optional[float]]:
    """Return the recalls at several numbers of detections, by name.

    Args:
        result (EvaluationResult): The evaluation.

    Returns:
        dict[str, float]: Recalls such as "AR@100"; {} if only one number of
        detections was evaluated.
    """
    if len(result.max_dets) == 1:
        return {}
    return {
        f'AR@{number}': result.ar(max_dets=number)
        for number in result.max_dets
    }


def labels_of(ground_truth: GroundTruth) -> ProtocolLabels:
    """Return the labels of ground truth, which say nothing if unknown.

    Args:
        ground_truth (GroundTruth): The ground truth, as it was read.
    """
    if ground_truth.labels is not None:
        return ground_truth.labels
    nothing = np.zeros(len(ground_truth.image), bool)
    return ProtocolLabels(
        nothing,
        nothing,
        np.zeros(0, int),
        np.zeros((0, 4)),
        None,
        None,
        {},
    )


def ignored_without_crowds(ground_truth: GroundTruth) -> GroundTruth:
    """Return ground truth whose "ignore" objects are ignored.

    As in the programs of LVIS and SODA, "iscrowd" does not count; an ignored
    object can be hit once, by the intersection over union.

    Args:
        ground_truth (GroundTruth): The ground truth, as it was read.
    """
    return replace(
        ground_truth,
        crowd=np.zeros(len(ground_truth.crowd), bool),
        area=np.where(
            labels_of(ground_truth).ignore, NO_SIZE, ground_truth.area
        ),
        labels=None,
    )
