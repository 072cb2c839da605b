import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from sge_mmdet.deployment import (
    TOLERANCE,
    DeployedPart,
    agreement_table,
    check,
    check_onnx,
    detect_with_onnx,
    disagreements,
    export_onnx,
    load_detector,
    make_batch,
    quantize_onnx,
    sizes_to_check,
)
from sge_mmdet.deployment.check import open_session, run_session
from sge_mmdet.utils import upstream_path
from sge_mmdet.utils.tables import Table
from tests.helpers.small_detectors import small_config, small_detector

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def retinanet():
    return small_detector('retinanet')


@pytest.fixture(scope='module')
def backbone_file(retinanet, tmp_path_factory):
    file = tmp_path_factory.mktemp('onnx') / 'backbone.onnx'
    return file, export_onnx(retinanet, file, 'backbone', size=(64, 96))


SGE_NECK = dict(type='SGEFPN', sge=dict(groups=8))


@pytest.mark.parametrize(
    'name, part, pixels, neck',
    [
        ('fcos', 'detector', True, {}),
        ('cascade mask', 'detector', False, {}),
        ('gfl', 'heads', False, {}),
        ('rpn', 'detector', False, {}),
        ('retinanet', 'detector', False, SGE_NECK),
        ('faster', 'detector', True, SGE_NECK),
    ],
)
def test_file_finds_what_mmdetection_finds_at_other_sizes(
    name, part, pixels, neck, tmp_path
):
    file = tmp_path / 'model.onnx'
    deployed = export_onnx(
        small_detector(name, **neck), file, part, pixels, size=(64, 96)
    )
    checks = check_onnx(file, deployed, [(1, 128, 96), (3, 75, 130)])
    assert checks
    for one in checks:
        assert one.values > 0
        assert one.difference <= TOLERANCE, one


def test_roi_head_without_a_limit_keeps_all(tmp_path):
    detector = small_detector('faster')
    detector.roi_head.test_cfg.max_per_img = -1
    deployed = export_onnx(detector, tmp_path / 'model.onnx', size=(64, 96))
    (one,) = check_onnx(tmp_path / 'model.onnx', deployed, [(1, 128, 96)])
    assert one.values > 20
    assert one.difference <= TOLERANCE


@pytest.fixture(scope='module')
def detector_file(retinanet, tmp_path_factory):
    file = tmp_path_factory.mktemp('onnx') / 'detector.onnx'
    return file, export_onnx(retinanet, file, size=(64, 64))


@pytest.mark.parametrize(
    'change',
    [
        lambda rows: np.concatenate([rows, rows]),
        lambda rows: rows[::-1],
        lambda rows: rows[:-1],
        lambda rows: rows + 1,
        lambda rows: rows * np.float32('nan'),
    ],
)
def test_check_sees_other_rows(detector_file, monkeypatch, change):
    exact = check.run_session
    monkeypatch.setattr(
        check,
        'run_session',
        lambda *args: {
            name: change(rows) for name, rows in exact(*args).items()
        },
    )
    (one,) = check_onnx(*detector_file, [(2, 64, 64)])
    assert not one.difference <= TOLERANCE


def test_check_takes_images_in_which_nothing_is_found(tmp_path):
    detector = small_detector('cascade mask')
    detector.roi_head.test_cfg.score_thr = 2.0
    deployed = export_onnx(detector, tmp_path / 'model.onnx', size=(64, 64))
    checks = check_onnx(tmp_path / 'model.onnx', deployed, [(2, 64, 64)])
    assert [(one.output, one.values, one.difference) for one in checks] == [
        ('boxes, scores, labels', 0, 0),
        ('masks', 0, 0),
    ]


def test_sizes_are_padded_where_the_file_does_not_pad(retinanet):
    padded = DeployedPart(retinanet)
    assert sizes_to_check(padded, (64, 96)) == [(1, 128, 64), (3, 64, 160)]
    assert sizes_to_check(DeployedPart(retinanet, pixels=True), (64, 96)) == [
        (1, 128, 64),
        (3, 45, 141),
    ]


def test_features_are_equal_at_other_sizes_and_single_positions(backbone_file):
    for one in check_onnx(
        *backbone_file, [(1, 128, 96), (3, 75, 130), (2, 32, 32)]
    ):
        assert one.difference <= TOLERANCE, one


@pytest.mark.parametrize('size', [(64, 64), (32, 32)])
def test_constant_images_have_the_gate_of_no_spread(backbone_file, size):
    """Rounding, amplified by 1 / eps, would be far above the tolerance."""
    file, deployed = backbone_file
    session = open_session(file)
    for value in (0.0, 1.0, -3.3):
        batch = torch.full((1, 3, *size), value)
        with torch.no_grad():
            wanted = deployed(batch)
        for got, want in zip(run_session(session, batch).values(), wanted):
            difference = np.abs(got - want.numpy()).max()
            assert difference <= TOLERANCE * want.abs().max()


def test_masks_pasted_are_those_of_mmdetection():
    detector = small_detector('cascade mask')
    deployed = DeployedPart(detector).eval()
    batch = make_batch(deployed, (1, 96, 64))
    with torch.no_grad():
        boxes, _, labels, _, masks = deployed(batch)
        head = detector.roi_head.mask_head[-1]
        # One class each, so that it is the first that is looked up.
        pasted = head._predict_by_feat_single(
            masks[:, None].expand(-1, 3, -1, -1),
            boxes,
            labels,
            dict(ori_shape=(96, 64), scale_factor=(1, 1)),
            detector.test_cfg.rcnn,
            activate_map=True,
        )
        samples = [_sample(96, 64)]
        expected = detector.predict(batch, samples, rescale=False)
    assert torch.equal(pasted, expected[0].pred_instances.masks)
    assert pasted.any()


def _sample(height, width):
    return DetDataSample(
        metainfo=dict(
            img_shape=(height, width),
            ori_shape=(height, width),
            scale_factor=(1, 1),
        )
    )


@pytest.mark.parametrize('mode', ['dynamic', 'static'])
def test_eight_bits_stay_close(backbone_file, mode, tmp_path):
    file, deployed = backbone_file
    batches = [make_batch(deployed, (2, 96, 96), first=i) for i in range(4)]
    quantize_onnx(file, tmp_path / 'int8.onnx', mode, batches)
    size = (tmp_path / 'int8.onnx').stat().st_size
    assert size < 0.5 * file.stat().st_size
    for name, cosine, _ in agreement_table(
        file, tmp_path / 'int8.onnx', batches
    ).rows:
        assert cosine > 0.98, name


@pytest.mark.parametrize(
    'table, words',
    [
        (
            Table(
                ('output', 'cosine', 'relative error'),
                [
                    ('feature_0', 0.99, 0.1),
                    ('feature_1', 0.2, 1.0),
                    ('feature_2', float('nan'), 0.0),
                ],
            ),
            [
                'feature_1 differs too much in 8 bits: expected a cosine of '
                'at least 0.9, got 0.200',
                'feature_2 differs too much in 8 bits: expected a cosine of '
                'at least 0.9, got nan',
            ],
        ),
        (
            Table(
                ('detections', 'found again', 'change of score'), [(9, 4, 0.1)]
            ),
            [
                'Expected the file in 8 bits to find at least half of the '
                'detections again, got 4 of 9'
            ],
        ),
        (
            Table(
                ('detections', 'found again', 'change of score'),
                [(0, 0, None)],
            ),
            [],
        ),
    ],
)
def test_eight_bits_that_break_a_file_are_told(table, words):
    assert disagreements(table) == words


def test_quantised_detector_runs(detector_file, tmp_path):
    file, deployed = detector_file
    quantize_onnx(file, tmp_path / 'b.onnx', 'dynamic')
    batch = make_batch(deployed, (2, 96, 96))
    ((number, again, change),) = agreement_table(
        file, tmp_path / 'b.onnx', [batch]
    ).rows
    assert number > 0 and again > number / 2 and change < 0.2


@pytest.fixture
def test_data(tmp_path):
    """Return a config with two test images, which it resizes."""
    cfg = small_config('retinanet')
    images = []
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (5, 8, 3))
        image = cv2.resize(pixels.astype(np.uint8), (80, 50))
        cv2.imwrite(str(tmp_path / f'{i}.png'), image)
        images.append(
            dict(id=i + 5, file_name=f'{i}.png', width=80, height=50)
        )
    ground_truth = dict(
        images=images,
        annotations=[],
        categories=[
            dict(id=i, name=name) for i, name in [(3, 'a'), (7, 'b'), (9, 'c')]
        ],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(ground_truth))
    data = cfg.test_dataloader.dataset
    data.update(
        data_root=str(tmp_path),
        ann_file='truth.json',
        data_prefix=dict(img=''),
        metainfo=dict(classes=('a', 'b', 'c')),
    )
    data.pipeline[1].scale = (160, 100)
    cfg.dump(tmp_path / 'config.py')
    return cfg


def test_detections_of_test_data_are_in_pixels_of_its_images(
    test_data, tmp_path
):
    """Through the config's own pipeline, which resizes."""
    detector = small_detector('retinanet')
    detector.dataset_meta = dict(classes=('a', 'b', 'c'))
    export_onnx(detector, tmp_path / 'a.onnx', pixels=True, size=(64, 64))
    number = detect_with_onnx(
        tmp_path / 'a.onnx', tmp_path / 'config.py', tmp_path / 'found.json'
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert len(found) == number > 0
    data = DATASETS.build(test_data.test_dataloader.dataset)
    wanted = []
    for i in range(2):
        with torch.no_grad():
            (sample,) = detector.test_step(pseudo_collate([data[i]]))
        rows = sample.pred_instances
        for box, score, label in zip(rows.bboxes, rows.scores, rows.labels):
            x1, y1, x2, y2 = box.tolist()
            wanted.append(
                [
                    sample.img_id,
                    [3, 7, 9][label],
                    float(score),
                    x1,
                    y1,
                    x2 - x1,
                    y2 - y1,
                ]
            )
    got = [
        [row['image_id'], row['category_id'], row['score'], *row['bbox']]
        for row in found
    ]
    np.testing.assert_allclose(sorted(got), sorted(wanted), atol=1e-2)


def test_detections_are_refused_before_any_image_is_read(
    test_data, tmp_path, retinanet, detector_file
):
    file, config = tmp_path / 'a.onnx', tmp_path / 'config.py'
    detector = copy.copy(retinanet)
    detector.dataset_meta = dict(classes=('a', 'b', 'x'))
    export_onnx(detector, file, pixels=True, size=(64, 64))
    (tmp_path / 'mine.json').write_text('precious')
    (tmp_path / 'empty.onnx').write_text('')
    bare = tmp_path / 'bare.py'
    bare.write_text(f'_base_ = {str(config)!r}\ntest_dataloader = None')
    joined = tmp_path / 'joined.py'
    joined.write_text(
        f'_base_ = {str(config)!r}\ntest_dataloader = dict(dataset=dict('
        "_delete_=True, type='ConcatDataset', datasets=[{{_base_."
        'test_dataloader.dataset}}]))'
    )
    for source, cfg, out, error, words in [
        (file, config, 'mine.json', FileExistsError, 'is there already'),
        (file, config, 'out.json', ValueError, "'x'.*test data has.*'c'"),
        ('no.onnx', config, 'out.json', FileNotFoundError, 'no.onnx'),
        (
            tmp_path / 'empty.onnx',
            config,
            'out.json',
            ValueError,
            'empty.onnx: onnxruntime says',
        ),
        (
            detector_file[0],
            config,
            'out.json',
            ValueError,
            'detector.onnx: expected a whole detector that takes pixels',
        ),
        (
            file,
            bare,
            'out.json',
            ValueError,
            'bare.py has no test data: expected',
        ),
        (file, joined, 'out.json', ValueError, 'a ConcatDataset, which'),
    ]:
        with pytest.raises(error, match=words):
            detect_with_onnx(source, cfg, tmp_path / out)
        assert not (tmp_path / 'out.json').exists()
    assert (tmp_path / 'mine.json').read_text() == 'precious'


def test_classes_that_the_data_lacks_are_refused(
    test_data, tmp_path, retinanet
):
    export_onnx(retinanet, tmp_path / 'a.onnx', pixels=True, size=(64, 64))
    test_data.test_dataloader.dataset.metainfo.classes = ('a',)
    test_data.dump(tmp_path / 'one.py')
    with pytest.raises(ValueError, match='the test data has 1 classes'):
        detect_with_onnx(
            tmp_path / 'a.onnx', tmp_path / 'one.py', tmp_path / 'out.json'
        )


@pytest.mark.parametrize(
    'name, part, words',
    [
        (
            'maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
            'heads',
            '"heads" of a MaskFormer cannot be exported',
        ),
        (
            'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
            'detector',
            'of a PanopticFPN cannot be exported; .*--part backbone',
        ),
        (
            'soft_teacher/'
            'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
            'backbone',
            'SoftTeacher has no backbone of its own',
        ),
        (
            'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
            'detector',
            'EmbeddingRPNHead computes.*or the backbone',
        ),
        ('ssd/ssd300_coco.py', 'detector', 'SSDHead has no loss_cls'),
    ],
)
def test_detectors_of_other_kinds_are_refused_in_words(name, part, words):
    register_all_modules()
    model = Config.fromfile(upstream_path('configs', name)).model
    for detector in (model, model.get('detector', {})):
        if 'init_cfg' in detector.get('backbone', {}):
            detector.backbone.init_cfg = None
    with pytest.raises(NotImplementedError, match=words):
        DeployedPart(MODELS.build(model), part)


@pytest.mark.parametrize(
    'name, change, words',
    [
        ('gfl', {}, r'GFLHead computes its boxes in its own.*--part heads'),
        (
            'retinanet',
            dict(test_cfg=dict(nms=dict(type='soft_nms'))),
            r'Expected nms=dict.*soft_nms',
        ),
        (
            'retinanet',
            dict(test_cfg=dict(max_per_img=-1)),
            r'without a limit of detections.*max_per_img=-1',
        ),
        (
            'retinanet',
            dict(
                backbone=dict(
                    depth=50,
                    dcn=dict(type='DCNv2', deform_groups=1),
                    stage_with_dcn=(False, False, False, True),
                ),
                neck=dict(in_channels=[64, 128, 256, 512]),
            ),
            r"backbone\.layer4\.0\.conv2 is mmcv's ModulatedDeformConv2d",
        ),
    ],
)
def test_what_cannot_be_exported_is_named_and_nothing_is_written(
    name, change, words, tmp_path
):
    cfg = small_config(name)
    cfg.merge_from_dict(dict(model=change))
    model = MODELS.build(cfg.model)
    with pytest.raises(NotImplementedError, match=words):
        export_onnx(model, tmp_path / 'model.onnx', size=(64, 64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'options, error, words',
    [
        (
            dict(part='neck'),
            ValueError,
            "one of backbone, heads, .*got 'neck'",
        ),
        (
            dict(size=(16, 64)),
            ValueError,
            r'at least 32 pixels, got \(16, 64\)',
        ),
    ],
)
def test_bad_options_are_refused(retinanet, tmp_path, options, error, words):
    with pytest.raises(error, match=words):
        export_onnx(retinanet, tmp_path / 'model.onnx', **options)


@pytest.mark.parametrize(
    'text, words',
    [
        ('model = dict(', 'bad.py cannot be loaded as a config'),
        (
            "model = dict(type='RetinaNat')",
            'model of .*bad.py cannot be built',
        ),
        ("model = dict(type='RetinaNet', x=1)", 'model of .*bad.py cannot be'),
    ],
)
def test_configs_that_cannot_be_built_are_named(tmp_path, text, words):
    (tmp_path / 'bad.py').write_text(text)
    with pytest.raises(ValueError, match=words):
        load_detector(tmp_path / 'bad.py')
