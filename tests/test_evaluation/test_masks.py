import numpy as np
import pytest
from pycocotools import mask as mask_utils

from sge_mmdet.evaluation import masks
from sge_mmdet.evaluation.masks import rle_areas


def random_masks(number):
    """Return RLE of noise, of blocks, and of empty and full images."""
    random = np.random.default_rng(0)
    detections, sizes = [], []
    for i in range(number):
        height, width = random.integers(1, 90, 2).tolist()
        mask = np.zeros((height, width), np.uint8, order='F')
        if i % 4 == 0:
            mask[:] = random.random((height, width)) < random.random()
        elif i % 4 == 1:
            mask[height // 3 : height // 2 + 1, width // 4 :] = 1
        elif i % 4 == 2:
            mask[:] = 1
        detections.append(mask_utils.encode(mask))
        sizes.append((height, width))
    return detections, np.array(sizes)


@pytest.mark.parametrize('chunk', [7, 10_000])
def test_areas_are_pycocotools_for_any_number_of_masks(monkeypatch, chunk):
    """Its own ``area`` fails above 255 masks under numpy 2."""
    monkeypatch.setattr(masks, 'CHUNK', chunk)
    detections, sizes = random_masks(300)
    assert rle_areas(detections, sizes, 'r').tolist() == [
        int(mask_utils.area(mask)) for mask in detections
    ]
    assert len(rle_areas([], np.zeros((0, 2), int), 'r')) == 0


def test_masks_of_any_length_are_decoded_in_parts_and_huge_ones_refused(
    monkeypatch,
):
    detections, sizes = random_masks(60)
    whole = rle_areas(detections, sizes, 'r')
    monkeypatch.setattr(masks, 'CHUNK_CHARACTERS', 5)
    assert (rle_areas(detections, sizes, 'r') == whole).all()
    detections[1] = dict(
        detections[1], counts=b'0' * (masks.MOST_CHARACTERS + 1)
    )
    with pytest.raises(ValueError, match='mask 1 has counts of 1000001'):
        rle_areas(detections, sizes, 'r')


@pytest.mark.parametrize('at', [0, 8, 99])
def test_any_cut_of_a_mask_is_noticed_and_numbered(at):
    detections, sizes = random_masks(100)
    at -= at % 4  # Of those that are noise, which are longer.
    counts = detections[at]['counts']
    for end in range(len(counts)):
        detections[at] = dict(detections[at], counts=counts[:end])
        with pytest.raises(ValueError, match=rf'r: mask {at} has damaged'):
            rle_areas(detections, sizes, 'r')
