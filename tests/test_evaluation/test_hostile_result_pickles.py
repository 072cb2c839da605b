"""Result pickles that grow in memory or run code; see docs/security.md."""

import io
import pickle
import struct

import pytest
import torch

import sge_mmdet  # noqa: F401
from sge_mmdet.evaluation.annotation_files import read_ground_truth
from sge_mmdet.evaluation.result_files import read_detections
from tests.helpers.hostile_files import (
    ground_truth,
    needs_weights_only,
    refusals,
    write_bomb,
)
from tests.helpers.hostile_pickles import hostile_pickles, shared_masks

pytestmark = needs_weights_only


def write_results(path, scores):
    path.write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=1,
                    pred_instances=dict(
                        bboxes=torch.zeros(1, 4),
                        scores=scores,
                        labels=torch.zeros(1, dtype=int),
                    ),
                )
            ]
        )
    )


class Reduced:
    """Pickled as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def write_growing_pickles(tmp_path):
    """Write pickles that grow in memory; return what each is refused with."""
    load = torch.storage._load_from_bytes
    write_bomb(tmp_path / 'bomb.pth', 256)
    write_results(
        tmp_path / 'zip.pkl',
        Reduced(load, (tmp_path.joinpath('bomb.pth').read_bytes(),)),
    )
    wide = io.BytesIO()
    torch.save(
        torch.zeros(1).expand(10**9),
        wide,
        _use_new_zipfile_serialization=False,
    )
    write_results(tmp_path / 'wide.pkl', Reduced(load, (wide.getvalue(),)))
    (tmp_path / 'bytes.pkl').write_bytes(
        b'\x80\x05\x96' + struct.pack('<Q', 3 * 10**9) + b'.'
    )
    write_results(
        tmp_path / 'state.pkl',
        Reduced(
            torch._utils._rebuild_tensor_v2,
            (torch.zeros(1).storage(), 0, (1,), (1,), False, {}),
            {'a': 1},
        ),
    )
    one = dict(
        img_id=1,
        pred_instances=dict(
            bboxes=torch.zeros(10**4, 4),
            scores=torch.zeros(10**4),
            labels=torch.zeros(10**4, dtype=int),
            masks=[None] * 10**4,
        ),
    )
    (tmp_path / 'twice.pkl').write_bytes(pickle.dumps([one] * 1000))
    (tmp_path / 'shared.pkl').write_bytes(
        pickle.dumps([dict(one, img_id=i) for i in range(1000)])
    )
    return {
        'zip.pkl': 'a storage in another format',
        'bytes.pkl': 'the instruction BYTEARRAY8',
        'wide.pkl': 'it contains torch._utils._rebuild_tensor_v2',
        'state.pkl': 'the instruction BUILD',
        'twice.pkl': 'an image occurs twice',
        'shared.pkl': 'the same detections occur many times',
    }


def test_small_pickles_take_neither_gigabytes_nor_for_ever(tmp_path):
    cases = write_growing_pickles(tmp_path)
    for i, (words, content) in enumerate(
        [
            *hostile_pickles(),
            ('the same masks occur many times', shared_masks()),
        ]
    ):
        (tmp_path / f'{i}.pkl').write_bytes(b'\x80\x04' + content + b'.')
        cases[f'{i}.pkl'] = words
    # The largest takes 96 MiB before it is refused, the attacks 256 or more.
    said = refusals(
        'read_detections(path, truth, "segm")',
        *(tmp_path / name for name in cases),
        most=160,
        seconds=10,
    )
    for (name, words), text in zip(cases.items(), said):
        assert f'/{name} ' in text and words in text and len(text) < 600


def test_result_pickle_takes_no_more_memory_than_it_holds(tmp_path):
    """Ten bytes would make C's unpickler fill 32 GB; a tensor, 4 TB."""
    (tmp_path / 'memo.pkl').write_bytes(
        b'\x80\x04]r' + struct.pack('<I', 2**31) + b'.'
    )
    with pytest.raises(ValueError, match=r'memo\.pkl .* damaged'):
        read_detections(
            tmp_path / 'memo.pkl', read_ground_truth(ground_truth())
        )
    huge = torch.zeros(1).expand(10**12)
    (tmp_path / 'wide.pkl').write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=1,
                    pred_instances=dict(
                        bboxes=torch.zeros(1, 4), scores=huge, labels=huge
                    ),
                )
            ]
        )
    )
    with pytest.raises(
        ValueError,
        match=r'a tensor of \(1000000000000\) '
        'made of 1 numbers',
    ):
        read_detections(
            tmp_path / 'wide.pkl', read_ground_truth(ground_truth())
        )
