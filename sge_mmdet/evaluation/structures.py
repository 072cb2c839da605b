"""Ground truth and detections as structures of arrays.

Entry i of each array belongs to object or detection i. Images and categories
are indices: positions in ``image_ids`` and ``category_ids``.
"""

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import List, Optional

import numpy as np

from ..utils.moved import moved
from ..utils.text import printable_value
from .masks import check_annotated_masks, own_sizes
from .protocol_labels import ProtocolLabels
from .text_ids import TextIds


@dataclass(frozen=True)
class GroundTruth:
    """Images, categories and annotated objects of a data set.

    Attributes:
        image_ids: Ids of all images, of shape (I,).
        image_sizes: Heights and widths of the images in pixels, of shape
            (I, 2).
        category_ids: Ids of the evaluated categories, of shape (K,),
            ascending.
        category_names: Names of these categories.
        label_ids: The same ids in the order of the detector's labels, of
            shape (K,). A label is a position in it. It is the order of the
            file, unless the classes were named in another one.
        image: Index of each object's image, of shape (n,).
        category: Index of each object's category, of shape (n,).
        box: Boxes (x, y, width, height) in pixels, of shape (n, 4).
        area: Areas in square pixels, of shape (n,).
        crowd: Whether each object is a crowd, of shape (n,). A detection of a
            crowd counts neither as a hit nor as an error.
        segmentation: Polygons or RLE of each object; None if an object has
            none.
        file_names: File names of the images.
        name: Name of the annotation file, for messages.
        other_ids: Ids of the file's other categories, which are not
            evaluated.
        has_known_labels: Whether the detector's classes were named. Without
            them, the labels of a result pickle may mean some of the
            categories only.
        lenient: Whether masks may have another size than their image, as in
            CocoMetric.
        groups: Index of each image's group, of shape (I,), which is resampled
            as a whole; None if each image stands for itself.
        labels: What the protocols of some data sets know of the objects,
            besides COCO's keys; None if nothing is known.
        text_ids: Numbers of images and categories whose ids in the file are
            text.
    """

    image_ids: np.ndarray
    image_sizes: np.ndarray
    category_ids: np.ndarray
    category_names: List[str]
    label_ids: np.ndarray
    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    segmentation: Optional[list]
    file_names: List[str]
    name: str = 'The ground truth'
    other_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    has_known_labels: bool = False
    lenient: bool = False
    groups: Optional[np.ndarray] = None
    labels: Optional[ProtocolLabels] = None
    text_ids: TextIds = field(default_factory=TextIds)

    def __repr__(self) -> str:
        """Return its name and its numbers of images and objects."""
        crowds = np.count_nonzero(self.crowd)
        return (
            f'<GroundTruth {printable_value(self.name)}: '
            f'images={len(self.image_ids)}, '
            f'categories={len(self.category_ids)}, '
            f'objects={len(self.crowd) - crowds}, crowds={crowds}>'
        )

    @cached_property
    def masks(self) -> list:
        """list: Polygons or RLE of each object, checked.

        Raises:
            ValueError: If an object has no mask, or one that cannot be drawn.
        """
        if self.segmentation is None and len(self.image):
            raise ValueError(
                f'{self.name} has objects without masks, but metric="segm" '
                'needs a "segmentation" for each object; add them, or '
                'evaluate metric="bbox"'
            )
        masks = self.segmentation or []
        sizes = self.image_sizes[self.image]
        if self.lenient:
            sizes = own_sizes(masks, sizes)
        check_annotated_masks(masks, sizes, self.name)
        return masks

    def with_box_areas(self) -> 'GroundTruth':
        """Return a copy whose areas are those of the boxes."""
        return replace(self, area=self.box[:, 2] * self.box[:, 3])


def warn_of_federated_labels(ground_truth: GroundTruth) -> None:
    """Warn if only some classes were looked for in each image, as in LVIS.

    Args:
        ground_truth (GroundTruth): Ground truth that is evaluated as COCO
            does.
    """
    labels = ground_truth.labels
    if labels is not None and labels.negative is not None:
        warnings.warn(
            f'{ground_truth.name} has the labels of LVIS: in each image, only '
            'some classes were looked for. COCO counts detections of all '
            'other classes as errors, so that AP is lower than by the '
            "protocol of LVIS, which protocol='lvis' (--protocol lvis) and "
            'LVISMetric have; compare it only with figures that were computed '
            'in the same way',
            stacklevel=3,
        )


@dataclass(frozen=True)
class Detections:
    """Detections on the images of a :class:`GroundTruth`.

    Attributes:
        image: Index of each detection's image, of shape (n,).
        category: Index of each detection's category, of shape (n,).
        box: Boxes (x, y, width, height) in pixels, of shape (n, 4).
        score: Scores, of shape (n,).
        area: Areas in square pixels, of shape (n,): of the masks if masks
            are evaluated, otherwise of the boxes.
        segmentation: RLE of each detection; None if boxes are evaluated.
    """

    image: np.ndarray
    category: np.ndarray
    box: np.ndarray
    score: np.ndarray
    area: np.ndarray
    segmentation: Optional[list] = None

    def __repr__(self) -> str:
        """Return their number, that of their images, and their scores."""
        text = f'detections={len(self.score)}'
        if len(self.score):
            text += (
                f', images={len(np.unique(self.image))}, '
                f'scores={self.score.min():.3f} to {self.score.max():.3f}'
            )
        return f'<Detections: {text}>'


__getattr__ = moved(
    __name__,
    {
        'detections_from_coco': (
            'sge_mmdet.evaluation.result_json.detections_from_coco'
        ),
        'make_detections': (
            'sge_mmdet.evaluation.checked_detections.make_detections'
        ),
        'read_ground_truth': 'sge_mmdet.evaluation.read_ground_truth',
    },
)
