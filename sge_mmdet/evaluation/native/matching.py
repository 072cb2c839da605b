"""COCO's matching, and its curves of precision and recall."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Optional, Tuple

import numpy as np

from ...utils.machine import usable_processors

_NUMBERS = 'images', 'bins', 'thresholds', 'most'
_ARRAYS: Dict[str, type] = dict(
    limits=float,
    detection_limits=np.int64,
    detections=np.int64,
    detection_images=np.int64,
    detection_boxes=float,
    scores=float,
    object_limits=np.int64,
    objects=np.int64,
    object_images=np.int64,
    object_boxes=float,
    crowd=np.uint8,
    ignored=np.uint8,
    pair_limits=np.int64,
    pair_objects=np.int64,
    pair_overlaps=float,
)


class _Problem(ctypes.Structure):
    """As matching.cpp declares it."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in _NUMBERS),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    ]


class Matcher:
    """The library's matching of ground truth and detections.

    Args:
        library (ctypes.CDLL): The library, of :func:`.loading.library`.
        numbers (tuple[int, int, int]): Numbers of classes, of images, and of
            detections that count per image and class.
        limits (np.ndarray): Overlaps at which a detection can choose an
            object, of shape (thresholds,).
        detections (dict[str, np.ndarray]): Class, image, box (x, y, width,
            height) and score of each detection, by the names "category",
            "image", "box" and "score". Images are numbered in COCO's order.
        objects (dict[str, np.ndarray]): The same of each object, by class,
            then by image, without scores; "position", its number for whoever
            asks which one was hit; "crowd", whether it is one; and "ignored",
            of shape (objects, bins).
        pairs (tuple[np.ndarray, np.ndarray, np.ndarray], optional): Pairs that
            overlap as masks: where those of each detection begin, of shape
            (detections + 1,), places of their objects, and their overlaps.
            Default: None, boxes are evaluated.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        numbers: Tuple[int, int, int],
        limits: np.ndarray,
        detections: Dict[str, np.ndarray],
        objects: Dict[str, np.ndarray],
        pairs: Optional[Tuple[np.ndarray, np.ndarray, np.ndarray]] = None,
    ) -> None:
        self._library = library
        self._categories, images, most = numbers
        self._shape = objects['ignored'].shape[1], len(limits)
        self._limits = self._limits_of(detections['category'])
        # Numbers of 16 bits or less are sorted in a tenth of the time.
        small = detections['category'].astype(
            np.min_scalar_type(self._categories)
        )
        arrays = dict(
            limits=limits,
            detection_limits=self._limits,
            detections=np.argsort(small, kind='stable'),
            detection_images=detections['image'],
            detection_boxes=detections['box'],
            scores=detections['score'],
            object_limits=self._limits_of(objects['category']),
            objects=objects['position'],
            object_images=objects['image'],
            object_boxes=objects['box'],
            crowd=objects['crowd'],
            ignored=objects['ignored'],
        )
        if pairs:
            names = 'pair_limits', 'pair_objects', 'pair_overlaps'
            arrays.update(zip(names, pairs))
        # They have to last as long as their addresses.
        self._arrays: Dict[str, np.ndarray] = {
            name: np.ascontiguousarray(array, _ARRAYS[name])
            for name, array in arrays.items()
        }
        self._problem = _Problem(
            images,
            *self._shape,
            most,
            **{
                name: array.ctypes.data for name, array in self._arrays.items()
            },
        )

    def match(
        self, partners: bool = True
    ) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Match all detections.

        Args:
            partners (bool): Whether to tell which objects were hit. Default:
                True.

        Returns:
            tuple[np.ndarray, np.ndarray, np.ndarray]: ``index``, ``status``
            and ``partner`` of the evaluation's ``Matches``.
        """
        number = len(self._arrays['scores'])
        index = np.full(number, -1, np.int64)
        status = np.zeros((number, *self._shape), np.uint8)
        shape = self._shape if partners else (0, 0)
        partner = np.full((number, *shape), -1, np.int32)
        columns = [
            index.ctypes.data,
            status.ctypes.data,
            partner.ctypes.data if partners else None,
        ]
        self._for_each(
            lambda k: self._library.sge_match(self._address, k, *columns)
        )
        counts = index >= 0
        if counts.all():
            return index, status, partner
        return index[counts], status[counts], partner[counts]

    def curves(
        self,
        inside: np.ndarray,
        objects: np.ndarray,
        max_dets: np.ndarray,
        recalls: np.ndarray,
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Compute the precision at some recalls, and the largest recall.

        Args:
            inside (np.ndarray): Whether the size of each detection is in a
                bin, of shape (detections, bins).
            objects (np.ndarray): Numbers of objects that are not ignored, of
                shape (classes, bins).
            max_dets (np.ndarray): Largest numbers of detections per image and
                class, of shape (numbers,).
            recalls (np.ndarray): Recalls, ascending, of shape (points,).

        Returns:
            tuple[np.ndarray, np.ndarray]: Precision of shape (classes,
            numbers, bins, thresholds, points), and recall of shape (classes,
            numbers, bins, thresholds). They mean nothing without objects.
        """
        shape = (self._categories, len(max_dets), *self._shape)
        precision, recall = np.zeros((*shape, len(recalls))), np.zeros(shape)
        inside = np.ascontiguousarray(inside, np.uint8)
        objects = np.maximum(objects, 1, dtype=np.int64)
        max_dets = np.ascontiguousarray(max_dets, np.int64)

        def fill(k: int) -> None:
            self._library.sge_curves(
                self._address,
                k,
                inside.ctypes.data,
                objects[k].ctypes.data,
                max_dets.ctypes.data,
                len(max_dets),
                recalls.ctypes.data,
                len(recalls),
                precision[k].ctypes.data,
                recall[k].ctypes.data,
            )

        self._for_each(fill)
        return precision, recall

    @property
    def _address(self) -> int:
        return ctypes.addressof(self._problem)

    def _for_each(self, act: Callable[[int], None]) -> None:
        """Call a function for each class, the largest class first."""
        order = np.argsort(-np.diff(self._limits)).tolist()
        # The library is called without Python's lock.
        with ThreadPoolExecutor(usable_processors()) as pool:
            for _ in pool.map(act, order):
                pass

    def _limits_of(self, category: np.ndarray) -> np.ndarray:
        """Return where each class begins and ends among those by class."""
        counts = np.bincount(category, minlength=self._categories)
        return np.concatenate([[0], np.cumsum(counts)])
