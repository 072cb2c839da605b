import pickle

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils

from sge_mmdet.evaluation import evaluate, read_ground_truth
from sge_mmdet.evaluation.result_files import read_detections

RLE = mask_utils.encode(np.asfortranarray(np.eye(24, 32, dtype=np.uint8)))


@pytest.fixture
def ground_truth():
    return read_ground_truth(
        dict(
            images=[dict(id=i, height=24, width=32) for i in (1, 2)],
            categories=[dict(id=1, name='cat')],
            annotations=[
                dict(
                    id=i, image_id=i, category_id=1, area=64, bbox=[1, 1, 8, 8]
                )
                for i in (1, 2)
            ],
        )
    )


def instances(number=2, **changes):
    return dict(
        dict(
            bboxes=torch.tensor([[1.0, 1, 9, 9]] * number),
            scores=torch.linspace(0.5, 1, number),
            masks=[RLE] * number,
            labels=torch.zeros(number, dtype=torch.long),
        ),
        **changes,
    )


def read(tmp_path, ground_truth, *detections, metric='bbox', protocol=2):
    (tmp_path / 'r.pkl').write_bytes(
        pickle.dumps(
            [
                dict(img_id=i, pred_instances=own)
                for i, own in enumerate(detections, start=1)
            ],
            protocol,
        )
    )
    return read_detections(tmp_path / 'r.pkl', ground_truth, metric)


@pytest.mark.parametrize('protocol', range(2, 6))
@pytest.mark.parametrize(
    'change',
    [
        lambda t: t,
        lambda t: t.half(),
        lambda t: t.bfloat16(),
        lambda t: t.double(),
        lambda t: t.clone().requires_grad_(),
        lambda t: torch.cat([t, t])[len(t) :],
        lambda t: t[:0],
        lambda t: torch.stack([t, t], -1)[..., 1],
        lambda t: t.T.clone().T,
    ],
    ids=[
        'float',
        'half',
        'bfloat16',
        'double',
        'grad',
        'offset',
        'empty',
        'strides',
        'transposed',
    ],
)
@pytest.mark.filterwarnings('ignore:The use of `x.T` on tensors')
def test_tensors_are_read_as_pytorch_holds_them(
    tmp_path, ground_truth, change, protocol
):
    given = {
        key: change(tensor) if key != 'labels' else tensor
        for key, tensor in instances().items()
        if key != 'masks'
    }
    given['labels'] = given['labels'][: len(given['scores'])].to(torch.uint8)
    detections = read(tmp_path, ground_truth, given, protocol=protocol)
    assert detections.score.tolist() == given['scores'].double().tolist()
    assert (detections.box[:, 2:] == 8).all() and len(detections.box) == len(
        detections.score
    )


def test_as_many_boxes_as_scores_in_each_image_and_not_in_all(
    tmp_path, ground_truth
):
    """Lengths that agree in all only gave every box a wrong score."""
    one, two = instances(1), instances(2)
    with pytest.raises(
        ValueError,
        match='result 0 has 1 bboxes, 2 scores, 2 labels; expected as many',
    ):
        read(
            tmp_path,
            ground_truth,
            dict(two, bboxes=one['bboxes']),
            dict(one, bboxes=two['bboxes']),
        )
    with pytest.raises(ValueError, match=r'result 1 has .* 1 masks'):
        read(
            tmp_path, ground_truth, two, dict(two, masks=[RLE]), metric='segm'
        )
    good = read(tmp_path, ground_truth, one, two, metric='segm')
    assert good.area.tolist() == [24] * 3
    assert (
        evaluate(ground_truth, read(tmp_path, ground_truth, one, two), []).ap()
        > 0.99
    )


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(bboxes=torch.zeros(2, 5)), r'bboxes .* got .* shape \(2, 5\)$'),
        (
            dict(bboxes=torch.zeros(4, 2)),
            r'to be floating-point .* \(n, 4\), got',
        ),
        (
            dict(bboxes=torch.zeros(2, 4, dtype=int)),
            'bboxes .* got type int64',
        ),
        (dict(scores=torch.zeros(2, 1)), r'scores .* of shape \(n\)'),
        (
            dict(scores=torch.zeros(2, dtype=torch.cfloat)),
            'ComplexFloatStorage',
        ),
        (dict(scores=torch.tensor(1.0)), r'got .* shape \(\)$'),
        (dict(labels=torch.zeros(2, dtype=bool)), 'labels .* got type bool'),
        (dict(labels=torch.zeros(2)), 'labels .* got type float32'),
        (dict(labels=[0, 0]), "no tensor 'labels'"),
        (dict(scores=torch.zeros(2).to_sparse()), '_rebuild_sparse_tensor'),
        (dict(scores=torch.zeros(2, device='meta')), '_rebuild_meta_tensor'),
        (dict(scores=np.ones(2)), "no tensor 'scores'"),
        (dict(scores=np.array(['a'])), 'of another kind than numbers: U1'),
        (dict(scores=np.array([{}])), 'of another kind than numbers: O8'),
        (dict(masks=7), "no list 'masks'"),
        (
            dict(masks=[[[1, 2, 3, 4, 5, 6]]] * 2),
            'mask 0 is not in compressed',
        ),
        (
            dict(masks=[dict(RLE, size=[True, 32])] * 2),
            r'got \[True, 32\]$',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
@pytest.mark.filterwarnings('ignore')
def test_tensors_of_another_kind_are_refused_by_name(
    tmp_path, ground_truth, changes, words
):
    with pytest.raises(ValueError, match=rf'r\.pkl.*{words}'):
        read(tmp_path, ground_truth, instances(**changes), metric='segm')


@pytest.mark.parametrize('image', ['1', True, 1.0, None, 2**60, [1]], ids=str)
def test_images_are_whole_numbers(tmp_path, ground_truth, image):
    (tmp_path / 'r.pkl').write_bytes(
        pickle.dumps([dict(img_id=image, pred_instances=instances())])
    )
    with pytest.raises(ValueError, match=r"r\.pkl .*'img_id' of result 0"):
        read_detections(tmp_path / 'r.pkl', ground_truth)


@pytest.mark.parametrize(
    'content, words',
    [
        (b'\x80\x02cposix\nsystem\n.', 'contains posix.system'),
        (b'\x80\x02cos\nx\x1b[2J\n.', r'contains os\.x\?\[2J$'),
        (b'\x80\x02ctorch._utils\n_rebuild_qtensor\n.', '_rebuild_qtensor'),
        (b'\x80\x02}}b.', 'instruction BUILD'),
        (b'\x80\x02]P1\n.', 'instruction PERSID'),
        (b'\x80\x02K\x01Q.', 'instruction BINPERSID'),
        (b'\x80\x05\x96' + b'\xff' * 8, 'instruction BYTEARRAY8'),
        (b'\x80\x02\x8b\xff\xff\xff\x7f', 'instruction LONG4'),
        (b'I1' * 99 + b'\n.', 'instruction INT'),
        (b'\xff', 'byte 255'),
        (b'\x80\x02)0.', 'instruction POP'),
        (b'\x80\x02(' * 200, 'more than 100 containers'),
        (b'\x80\x02K\x01)R.', 'calls an object that is not a function'),
        (
            b'\x80\x02ccollections\nOrderedDict\n)\x85R.',
            'OrderedDict of items',
        ),
        (b'\x80\x02c_codecs\nencode\n)R.', 'other arguments'),
        (b'\x80\x02}]]s.', 'a key of a dict'),
        (b'\x80\x02)]]s.', 'into a tuple'),
        (b'\x80\x02]q\xff.', 'damaged'),
        (b'\x80\x02h\x01.', 'damaged'),
        (b'\x80\x04\x95' + b'\x09' * 8 + b'].', 'damaged'),
        (b'\x80\x02.', 'damaged'),
        (b'\x80\x02X\xff\xff\xff\xffa.', 'damaged'),
        (b'\x80\x02X\x01\x00\x00\x00\xff.', 'damaged'),
        (b'\x80\x02].', None),
    ],
)
def test_what_plain_data_does_not_need_is_named(
    tmp_path, ground_truth, content, words
):
    (tmp_path / 'r.pkl').write_bytes(content)
    if words is None:
        assert (
            len(read_detections(tmp_path / 'r.pkl', ground_truth).image) == 0
        )
        return
    with pytest.raises(ValueError, match=words) as caught:
        read_detections(tmp_path / 'r.pkl', ground_truth)
    assert 'r.pkl' in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize('protocol', [2, 3, 4])
def test_metadata_of_numpy_is_no_hindrance(tmp_path, ground_truth, protocol):
    """Pipelines note arrays; some data sets have ids of numpy."""
    (tmp_path / 'r.pkl').write_bytes(
        pickle.dumps(
            [
                dict(
                    img_id=np.int64(2),
                    homography_matrix=np.eye(3, dtype='>f4'),
                    scale_factor=np.array([1.0, 2.0]),
                    ignored=np.zeros((0, 4)),
                    flip=np.bool_(False),
                    ratio=np.float32(0.5),
                    one=np.array(7),
                    pred_instances=instances(),
                )
            ],
            protocol,
        )
    )
    detections = read_detections(tmp_path / 'r.pkl', ground_truth)
    assert detections.image.tolist() == [1, 1]


DTYPE = b'cnumpy\ndtype\n(X\x02\x00\x00\x00u1\x89\x88tR'
ARRAY = (
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n'
    b'K\x00\x85C\x01btR'
)


@pytest.mark.parametrize(
    'content, words',
    [
        (
            ARRAY + b'(K\x01J\xff\xff\xff\xff\x85' + DTYPE + b'\x89C\x01atb.',
            'do not fit each other',
        ),
        (
            ARRAY + b'(K\x01J\xff\xff\xff\x7f\x85' + DTYPE + b'\x89C\x01atb.',
            'do not fit each other',
        ),
        (ARRAY + b'Nb.', 'not written as numpy'),
        (b'cnumpy\nndarray\n(tR.', 'calls an object that is not a function'),
        (b'cnumpy\ndtype\n(K\x01tR.', 'of another kind than numbers'),
        (DTYPE + b'(K\x03NNNNtb.', 'byte order is not one of'),
        (
            b'cnumpy.core.multiarray\nscalar\n(' + DTYPE + b'C\x02abtR.',
            'number of numpy whose type and bytes do not fit',
        ),
        (
            b'](cnumpy\ndtype\nq\x00(X\x02\x00\x00\x00u1\x89\x88tq\x01'
            + b'h\x00h\x01R' * 500_000
            + b'e.',
            'more than ten times',
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_forged_arrays_of_numpy_are_refused(
    tmp_path, ground_truth, content, words
):
    (tmp_path / 'r.pkl').write_bytes(b'\x80\x04' + content)
    with pytest.raises(ValueError, match=rf'r\.pkl .*{words}'):
        read_detections(tmp_path / 'r.pkl', ground_truth)


@pytest.mark.parametrize('key', [2**61 - 1, 2**53, -(2**53)])
def test_keys_that_could_share_a_hash_are_refused(tmp_path, ground_truth, key):
    """A dict of multiples of 2^61 - 1 takes quadratic time."""
    (tmp_path / 'r.pkl').write_bytes(pickle.dumps([{key: 1}], 2))
    with pytest.raises(ValueError, match=r'r\.pkl .*a key of a dict'):
        read_detections(tmp_path / 'r.pkl', ground_truth)


def test_numbers_of_another_storage_than_the_one_named_are_refused(
    tmp_path, ground_truth
):
    scores = torch.ones(2)
    key = str(scores.untyped_storage()._cdata).encode()
    content = pickle.dumps(
        [dict(img_id=1, pred_instances=instances(scores=scores))]
    )
    assert content.count(key) == 2
    (tmp_path / 'r.pkl').write_bytes(content.replace(key, b'x' * len(key), 1))
    with pytest.raises(ValueError, match='where the numbers of one tensor'):
        read_detections(tmp_path / 'r.pkl', ground_truth)
