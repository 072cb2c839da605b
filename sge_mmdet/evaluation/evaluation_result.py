"""Precision and recall of an evaluation, by category and object size."""

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Tuple, Union

import numpy as np

from ..utils.tables import Cell, Table, show_cell
from .bins import SizeBin
from .diagnostics import Diagnostics

# All sizes and four more, as many as AI-TOD has.
SIZES_IN_REPR = 5


@dataclass(frozen=True)
class EvaluationResult:
    """Precision and recall of an evaluation.

    It is printed as its table by size, and shown as one in a notebook.

    Attributes:
        precision: Mean precision over 101 recalls, of shape (thresholds,
            categories, bins, max_dets); -1 without objects.
        curves: Precision at each recall, averaged over the categories that
            have objects; shape (thresholds, 101, bins, max_dets).
        recall: Largest recall, of the same shape as ``precision``.
        thresholds: IoU thresholds; the extra ones come first.
        bins: Bins of object sizes; the first contains all sizes.
        max_dets: Largest numbers of detections per image and category.
        objects: Number of objects by category and bin, without crowds; shape
            (categories, bins).
        category_names: Names of the categories.
        extra_thresholds: IoU thresholds that no mean over the thresholds
            contains.
        ap_max_dets: Number of detections per image of average precision,
            one of ``max_dets``. None for the largest one.
        class_weights: Weight of each category in a mean, of shape
            (categories,); None if all count alike.
        figures: Figures that a protocol has besides those by size, by name;
            None for those without objects.
        diagnostics: Operating points, costs of errors, calibration and
            confusions by size, if they were asked for, otherwise None.
    """

    precision: np.ndarray
    curves: np.ndarray
    recall: np.ndarray
    thresholds: Tuple[float, ...]
    bins: List[SizeBin]
    max_dets: Tuple[int, ...]
    objects: np.ndarray
    category_names: List[str]
    extra_thresholds: Tuple[float, ...] = ()
    ap_max_dets: Optional[int] = None
    class_weights: Optional[np.ndarray] = None
    figures: Mapping[str, Optional[float]] = field(default_factory=dict)
    diagnostics: Optional[Diagnostics] = None

    def __repr__(self) -> str:
        """Return AP of the first sizes, and the number of objects."""
        figures = ', '.join(
            f'{bin.name}={show_cell(self.ap(size=bin.name))}'
            for bin in self.bins[:SIZES_IN_REPR]
        )
        return f'<EvaluationResult: AP {figures}; objects={self.count()}>'

    def __str__(self) -> str:
        """Return the table by size as text, and the protocol's figures."""
        text = self.table().text()
        if not self.figures:
            return text
        return f'{text}\n\n{self.figure_table().text()}'

    def _repr_html_(self) -> str:
        """Return the table by size for notebooks."""
        html = self.table().html()
        if not self.figures:
            return html
        return f'{html}\n{self.figure_table().html()}'

    def figure_table(self) -> Table:
        """Return the figures that the protocol has besides those by size."""
        return Table(('figure', 'value'), list(self.figures.items()))

    @property
    def counted(self) -> int:
        """int: Number of detections per image of average precision."""
        return self.ap_max_dets or self.max_dets[-1]

    def table(self, classes: bool = False) -> Table:
        """Return AP and AR by size, or AP by class, as a table.

        Args:
            classes (bool): Whether the rows are classes. Default: False, they
                are sizes, with areas in square pixels.

        Returns:
            Table: One row per class or size. Extra thresholds have columns of
            their own in the one by size.
        """
        return self._class_table() if classes else self._size_table()

    def to_dataframe(self, classes: bool = False) -> Any:
        """Return the table for pandas, with all digits.

        Args:
            classes (bool): Whether the rows are classes. Default: False, they
                are sizes.

        Returns:
            pandas.DataFrame: The table, with NaN for figures without objects.

        Raises:
            ImportError: If pandas is not installed.
        """
        return self.table(classes).to_dataframe()

    def ap(
        self,
        iou: Optional[float] = None,
        size: str = 'all',
        category: Optional[int] = None,
        max_dets: Optional[int] = None,
    ) -> Optional[float]:
        """Return an average precision.

        Args:
            iou (float, optional): IoU threshold. Default: None, the mean over
                all thresholds but the extra ones.
            size (str): Name of a bin. Default: "all".
            category (int, optional): Index of a category. Default: None, the
                mean over all categories with such objects.
            max_dets (int, optional): Largest number of detections per image.
                Default: None, ``ap_max_dets`` or the largest one evaluated.

        Returns:
            float or None: Average precision in [0, 1]; None without objects.
        """
        thresholds, a, m = self._indices(
            iou, size, self.ap_max_dets if max_dets is None else max_dets
        )
        return self._mean(self.precision[..., a, m][thresholds], category)

    def ar(
        self,
        size: str = 'all',
        category: Optional[int] = None,
        max_dets: Optional[int] = None,
        iou: Optional[float] = None,
    ) -> Optional[float]:
        """Return an average recall; arguments are those of :meth:`ap`.

        ``max_dets`` is the largest number evaluated by default, whatever
        ``ap_max_dets`` is.
        """
        thresholds, a, m = self._indices(iou, size, max_dets)
        return self._mean(self.recall[..., a, m][thresholds], category)

    def curve(self, iou: float, size: str) -> Optional[np.ndarray]:
        """Return the mean precision at 101 recalls.

        It is None without objects, or if the IoU threshold was not evaluated.

        Args:
            iou (float): IoU threshold.
            size (str): Name of a bin.
        """
        thresholds, a, m = self._indices(iou, size, self.ap_max_dets)
        values = self.curves[..., a, m][thresholds]
        return values[0] if len(values) and values[0, 0] > -1 else None

    def count(self, size: str = 'all', category: Optional[int] = None) -> int:
        """Return the number of objects, without crowds.

        Args:
            size (str): Name of a bin. Default: "all".
            category (int, optional): Index of a category. Default: None, all
                categories together.
        """
        column = self.objects[:, self._names().index(size)]
        return int(column.sum() if category is None else column[category])

    def _size_table(self) -> Table:
        low = (0.25,) if 0.25 in self.thresholds else ()
        ious = tuple(dict.fromkeys((*self.extra_thresholds, *low, 0.5, 0.75)))
        columns = [f'AP{100 * iou:.0f}' for iou in ious]
        return Table(
            ('size', 'area', 'objects', 'AP', *columns, 'AR'),
            [
                (
                    bin.name,
                    bin.text,
                    self.count(bin.name),
                    self.ap(size=bin.name),
                    *(self.ap(iou, bin.name) for iou in ious),
                    self.ar(bin.name),
                )
                for bin in self.bins
            ],
        )

    def _class_table(self) -> Table:
        header = ['class']
        for bin in self.bins:
            header += [f'AP {bin.name}', f'{bin.name} objects']
        rows: List[List[Cell]] = []
        for k, name in enumerate(self.category_names):
            row: List[Cell] = [name]
            for bin in self.bins:
                row += [
                    self.ap(size=bin.name, category=k),
                    self.count(bin.name, k),
                ]
            rows.append(row)
        return Table(header, rows)

    def _names(self) -> List[str]:
        return [bin.name for bin in self.bins]

    def _indices(
        self, iou: Optional[float], size: str, max_dets: Optional[int]
    ) -> Tuple[Union[slice, np.ndarray], int, int]:
        """Return the indices of thresholds, bin and max_dets."""
        thresholds = (
            slice(len(self.extra_thresholds), None)
            if iou is None
            else np.isclose(self.thresholds, iou)
        )
        m = -1 if max_dets is None else self.max_dets.index(max_dets)
        return thresholds, self._names().index(size), m

    def _mean(
        self, values: np.ndarray, category: Optional[int]
    ) -> Optional[float]:
        """Return the mean of figures of shape (thresholds, categories).

        Figures of -1 mean that there are no objects, and are left out.
        """
        if category is not None:
            values = values[:, [category]]
        has_objects = values > -1
        if not has_objects.any():
            return None
        if self.class_weights is None or category is not None:
            return float(values[has_objects].mean())
        weights = np.broadcast_to(self.class_weights, values.shape)
        return float(
            np.average(values[has_objects], weights=weights[has_objects])
        )
