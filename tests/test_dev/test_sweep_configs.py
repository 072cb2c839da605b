"""add_sge on configs that MMDetection ships, of every family.

``tools/dev/sweep_configs.py`` runs it over all of them.
"""

import json

import pytest
from mmdet.utils import register_all_modules

from tests.helpers.scripts import load_script

BUILT = """
    atss/atss_r50_fpn_1x_coco.py
    autoassign/autoassign_r50-caffe_fpn_1x_coco.py
    cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_1x_coco.py
    centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py
    conditional_detr/conditional-detr_r50_8xb2-50e_coco.py
    retinanet/retinanet_r101-caffe_fpn_1x_coco.py
    dcn/mask-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py
    dcnv2/faster-rcnn_r50-mdconv-group4-c3-c5_fpn_1x_coco.py
    deepsort/deepsort_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py
    deformable_detr/deformable-detr_r50_16xb2-50e_coco.py
    detectors/cascade-rcnn_r50-rfp_1x_coco.py
    detectors/detectors_htc-r101_20e_coco.py
    detr/detr_r18_8xb2-500e_coco.py
    dino/dino-4scale_r50_8xb2-12e_coco.py
    empirical_attention/faster-rcnn_r50-attn1111_fpn_1x_coco.py
    faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py
    faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py
    fcos/fcos_r101-caffe_fpn_gn-head-1x_coco.py
    gcnet/mask-rcnn_r50-syncbn-gcb-r16-c3-c5_fpn_1x_coco.py
    gfl/gfl_x101-32x4d-dconv-c4-c5_fpn_ms-2x_coco.py
    gn+ws/faster-rcnn_x50-32x4d_fpn_gn-ws-all_1x_coco.py
    gn/mask-rcnn_r50_fpn_gn-all_2x_coco.py
    guided_anchoring/ga-retinanet_r50_fpn_1x_coco.py
    htc/htc_r101_fpn_20e_coco.py
    lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py
    ld/ld_r18-gflv1-r101_fpn_1x_coco.py
    ld/ld_r34-gflv1-r101_fpn_1x_coco.py
    legacy_1.x/retinanet_r50_fpn_1x_coco_v1.py
    libra_rcnn/libra-faster-rcnn_x101-64x4d_fpn_1x_coco.py
    mask2former/mask2former_r50_8xb2-lsj-50e_coco.py
    masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py
    paa/paa_r101_fpn_2x_coco.py
    panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py
    point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py
    qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py
    regnet/faster-rcnn_regnetx-3.2GF_fpn_1x_coco.py
    regnet/retinanet_regnetx-800MF_fpn_1x_coco.py
    res2net/faster-rcnn_res2net-101_fpn_2x_coco.py
    resnest/mask-rcnn_s50_fpn_syncbn-backbone+head_ms-1x_coco.py
    retinanet/retinanet_r18_fpn_1x_coco.py
    soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.01-coco.py
    solov2/solov2-light_r34_fpn_ms-3x_coco.py
    sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py
    strong_baselines/mask-rcnn_r50-caffe_fpn_rpn-2conv_4conv1fc_syncbn-all_lsj-100e_coco.py
    tood/tood_x101-64x4d_fpn_ms-2x_coco.py
    tridentnet/tridentnet_r50-caffe_1x_coco.py
    yolact/yolact_r50_1xb8-55e_coco.py
    yolof/yolof_r50-c5_8xb8-1x_coco.py
""".split()
# Of other families; each takes SGE at these places.
OTHERS = {
    'hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py': (
        'backbone outputs neck heads'
    ),
    'swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py': (
        'backbone outputs neck heads'
    ),
    'rtmdet/rtmdet_tiny_8xb32-300e_coco.py': 'backbone outputs neck heads',
    'yolox/yolox_tiny_8xb8-300e_coco.py': 'backbone outputs neck heads',
    'yolo/yolov3_d53_8xb8-320-273e_coco.py': 'backbone outputs neck heads',
    'ssd/ssd300_coco.py': 'backbone outputs neck',
    'ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py': (
        'backbone outputs neck'
    ),
    'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py': (
        'backbone outputs'
    ),
    'pvt/retinanet_pvtv2-b0_fpn_1x_coco.py': 'backbone outputs neck heads',
    'efficientnet/retinanet_effb3_fpn_8xb4-crop896-1x_coco.py': (
        'backbone outputs neck heads'
    ),
    'nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py': (
        'backbone outputs neck heads'
    ),
    'fpg/faster-rcnn_r50_fpg-chn128_crop640-50e_coco.py': (
        'backbone outputs neck heads'
    ),
    'carafe/faster-rcnn_r50_fpn-carafe_1x_coco.py': (
        'backbone outputs neck heads'
    ),
    'mask2former/mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco.py': (
        'backbone outputs'
    ),
}


@pytest.fixture(scope='module')
def sweep():
    register_all_modules()
    script = load_script('dev/sweep_configs.py')
    places = dict(script.PLACES)
    script.remember_changes()
    yield script
    script.PLACES.update(places)


@pytest.mark.parametrize('name', BUILT)
def test_config_of_the_resnet_family_loads_builds_and_runs_with_sge(
    sweep, name, tmp_path
):
    (outcome,) = sweep.try_config(name, tmp_path, ['backbone'])
    assert outcome.status == sweep.BUILT, outcome
    assert outcome.was_run


@pytest.mark.parametrize('name', OTHERS)
def test_config_of_another_family_takes_sge_in_at_least_two_places(
    sweep, name, tmp_path
):
    outcomes = sweep.try_config(name, tmp_path)
    assert sweep.places_of(outcomes)[name] == {*OTHERS[name].split()}
    for outcome in outcomes:
        assert outcome.status != sweep.FAILED, outcome
    assert outcomes[0].was_run and outcomes[1].was_run
    assert sweep.left(outcomes) == []


@pytest.mark.parametrize(
    'name, reason',
    [
        ('common/ms_3x_coco.py', 'has no model'),
        (
            'timm_example/retinanet_timm-tv-resnet50_fpn_1x_coco.py',
            'does not load without SGE',
        ),
    ],
)
def test_config_that_cannot_have_sge_is_counted_with_the_reason(
    sweep, name, reason, tmp_path
):
    outcomes = sweep.try_config(name, tmp_path, ['neck'])
    if reason != 'has no model' and outcomes[0].kind != '-':
        pytest.skip('the optional packages are there')
    assert outcomes[0].status == sweep.NOT_APPLICABLE
    assert reason in outcomes[0].reason
    listed = [row[0] for row in sweep.left(outcomes)]
    assert listed == ([] if reason == 'has no model' else [f'`{name}`'])


@pytest.mark.parametrize('error', [RuntimeError, ValueError])
def test_sweep_sees_a_failure(sweep, tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error('broken')

    monkeypatch.setattr(sweep, 'add_sge', fail)
    outcomes = sweep.try_config(BUILT[0], tmp_path, ['backbone'])
    assert outcomes[0].status == sweep.FAILED
    assert f'{error.__name__}: broken' in sweep.tabulate(outcomes)


def test_results_files_hold_the_counts(sweep, tmp_path):
    outcomes = sweep.try_config(BUILT[0], tmp_path)
    sweep.write_results(outcomes, tmp_path, '2026-11-26')
    result = json.loads((tmp_path / 'configs_tried.json').read_text())
    counts = dict(result['rows'])
    assert counts['configs that MMDetection ships'] == '1'
    assert counts['take SGE with `--where neck`'] == '1'
    assert counts['take SGE in at least 2 of these places'] == '1'
    left = json.loads((tmp_path / 'configs_left.json').read_text())
    assert left['rows'] == []
