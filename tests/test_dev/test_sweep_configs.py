"""add_sge on configs that MMDetection ships, of every kind of backbone.

``tools/dev/sweep_configs.py`` runs it over all of them.
"""

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
REFUSED = """
    hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py
    swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py
    rtmdet/rtmdet_tiny_8xb32-300e_coco.py
    yolo/yolov3_d53_8xb8-320-273e_coco.py
    ssd/ssd300_coco.py
""".split()


@pytest.fixture(scope='module')
def sweep():
    register_all_modules()
    return load_script('dev/sweep_configs.py')


@pytest.mark.parametrize('name', BUILT)
def test_config_of_the_resnet_family_loads_builds_and_runs_with_sge(
    sweep, name, tmp_path
):
    outcome = sweep.try_config(name, tmp_path)
    if "No module named 'torchvision'" in outcome.reason:
        pytest.skip('MMPretrain, which this config needs, needs torchvision')
    assert outcome.status == sweep.BUILT, outcome


@pytest.mark.parametrize('name', REFUSED)
def test_config_of_another_backbone_is_refused_in_words(sweep, name, tmp_path):
    outcome = sweep.try_config(name, tmp_path)
    assert outcome.status == sweep.NOT_APPLICABLE
    assert 'expected a ResNet of MMDetection (ResNet,' in outcome.reason


@pytest.mark.parametrize('error', [RuntimeError, ValueError])
def test_sweep_sees_a_failure(sweep, tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error('broken')

    monkeypatch.setattr(sweep, 'write_sge_config', fail)
    outcome = sweep.try_config(BUILT[0], tmp_path)
    assert outcome.status == sweep.FAILED
    assert f'{error.__name__}: broken' in sweep.tabulate([outcome])
