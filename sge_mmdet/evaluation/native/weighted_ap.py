"""Average precision of resamples."""

import ctypes

import numpy as np


class Resamples:
    """Weights of the images in all resamples, as the library takes them.

    Args:
        library (ctypes.CDLL): The library, of :func:`.loading.library`.
        weights (np.ndarray): Weight of each image, of shape (resamples,
            images).
    """

    def __init__(self, library: ctypes.CDLL, weights: np.ndarray) -> None:
        self._library = library
        self._resamples, images = weights.shape
        lanes = library.sge_lanes()
        # Blocks of resamples that are computed side by side; weights beyond
        # the last resample are 0.
        self._weights = np.zeros(
            (-(-self._resamples // lanes), images, lanes), np.float32
        )
        for i, block in enumerate(self._weights):
            part = weights[i * lanes : (i + 1) * lanes]
            block[:, : len(part)] = part.T

    def ap(
        self,
        image: np.ndarray,
        inside: np.ndarray,
        status: np.ndarray,
        percent_of_hit: np.ndarray,
        lowest_percent: np.ndarray,
    ) -> np.ndarray:
        """Return average precision of one class and size.

        Args:
            image (np.ndarray): Index of each detection's image, by descending
                score; of shape (n,).
            inside (np.ndarray): Whether each detection's size is the one that
                counts, of shape (n,).
            status (np.ndarray): MISSED, HIT or IGNORED, of shape (n,
                thresholds).
            percent_of_hit (np.ndarray): Share of an object in all of them, in
                percent; of shape (resamples,).
            lowest_percent (np.ndarray): Lowest share that reaches each of
                COCO's recalls, in percent; float64, of shape (101,).

        Returns:
            np.ndarray: Average precision of shape (thresholds, resamples).
        """
        blocks, images, lanes = self._weights.shape
        shares = np.ones(blocks * lanes)
        shares[: self._resamples] = percent_of_hit
        ap = np.empty((status.shape[1], blocks * lanes))
        columns = [
            np.ascontiguousarray(column, dtype)
            for column, dtype in (
                (image, np.int32),
                (inside, np.uint8),
                (status, np.uint8),
            )
        ]
        self._library.sge_weighted_ap(
            *(column.ctypes.data for column in columns),
            *status.shape,
            self._weights.ctypes.data,
            images,
            blocks,
            shares.ctypes.data,
            lowest_percent.ctypes.data,
            ap.ctypes.data,
        )
        return ap[:, : self._resamples]
