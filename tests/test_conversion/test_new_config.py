"""Short configs for a user's data, of detectors of many families."""

import json
import os
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from sge_mmdet.conversion import Batch, write_new_config
from sge_mmdet.datasets import read_own_data
from sge_mmdet.utils import build_model
from sge_mmdet.utils.class_counts import class_counts
from tests.helpers.documents import snippets
from tests.helpers.own_data import CLASSES, write_coco, write_yolo
from tests.helpers.scripts import run_script

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
FAMILIES = """
    cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py
    dino/dino-4scale_r50_8xb2-12e_coco.py
    htc/htc-without-semantic_r50_fpn_1x_coco.py
    lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py
    mask2former/mask2former_r50_8xb2-lsj-50e_coco.py
    pascal_voc/faster-rcnn_r50_fpn_1x_voc0712.py
    queryinst/queryinst_r50_fpn_1x_coco.py
    rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py
    seesaw_loss/cascade-mask-rcnn_r101_fpn_seesaw-loss_random-ms-2x_lvis-v1.py
    ssd/ssd300_coco.py
    yolact/yolact_r50_1xb8-55e_coco.py
    yolox/yolox_tiny_8xb8-300e_coco.py
""".split()
REFUSED = {
    'htc/htc_r50_fpn_1x_coco.py': 'needs maps of the class of each pixel',
    'mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic.py': 'needs maps',
    'rpn/rpn_r50_fpn_1x_coco.py': "expected a detector .* got 'RPN'",
    'reid/reid_r50_8xb32-6e_mot17train80_test-mot17val20.py': "got 'BaseReID'",
    'soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'
    '': 'got a semi-supervised one',
    'mask2former_vis/mask2former_r50_8xb2-8e_youtubevis2019.py': (
        'got YouTubeVISDataset as the data set of train_dataloader'
    ),
    'rtmdet/rtmdet_tta.py': 'has no model',
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    write_coco(folder)
    return folder


@pytest.fixture(scope='module')
def data(folder):
    return read_own_data(
        folder / 'train.json', folder / 'val.json', folder / 'images'
    )


@pytest.mark.parametrize('name', FAMILIES)
def test_every_head_and_loader_of_a_family_has_the_classes(
    name, data, tmp_path
):
    cfg = write_new_config(f'mmdet::{name}', tmp_path / 'new.py', data).cfg
    counts = list(class_counts(cfg.model))
    for count in counts:
        key, value = count.path[-1], count.value
        expected = dict(num_stuff_classes=0, class_weight=4).get(key, 3)
        assert expected == (len(value) if key == 'class_weight' else value), (
            count
        )
    assert counts
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        assert dataset.type == 'CocoDataset'
        assert dataset.metainfo.classes == CLASSES
        assert dataset.pipeline
        file = Path(dataset.data_root, dataset.ann_file)
        assert (
            file == getattr(data, 'train' if split == 'train' else 'val').file
        )
        assert Path(dataset.data_root, dataset.data_prefix.img).is_dir()
    for split in ('val', 'test'):
        evaluator = cfg[f'{split}_evaluator']
        assert evaluator.type == 'SmallObjectMetric'
        assert evaluator.ann_file == str(data.val.file)
    build_model(cfg)


@pytest.mark.parametrize('name, words', REFUSED.items())
def test_config_that_such_data_cannot_train_is_refused(
    name, words, data, tmp_path
):
    with pytest.raises(ValueError, match=words):
        write_new_config(f'mmdet::{name}', tmp_path / 'new.py', data)
    assert not list(tmp_path.iterdir())


def test_rate_is_scaled_to_the_images_of_a_step(data, tmp_path):
    new = write_new_config(FASTER, tmp_path / 'a.py', data, Batch(2, 4))
    assert new.cfg.optim_wrapper.optimizer.lr == 0.01
    assert new.cfg.auto_scale_lr.base_batch_size == 8
    assert new.cfg.train_dataloader.batch_size == 4
    assert any(
        '8 here (2 GPUs with 4 images each)' in note for note in new.notes
    )
    again = write_new_config(tmp_path / 'a.py', tmp_path / 'b.py', data)
    assert again.cfg.optim_wrapper.optimizer.lr == 0.005
    rtmdet = write_new_config(
        'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        tmp_path / 'c.py',
        data,
        Batch(4, 16),
    ).cfg
    # Its name says 256 images, and the auto_scale_lr that it inherits 16.
    assert rtmdet.optim_wrapper.optimizer.lr == 0.001
    assert rtmdet.param_scheduler[1].eta_min == 5e-5


def test_best_checkpoint_is_that_of_small_objects_where_there_are_some(
    folder, data, tmp_path, monkeypatch
):
    new = write_new_config(FASTER, tmp_path / 'few.py', data)
    assert new.cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert any('pixels), too few to choose by' in note for note in new.notes)
    monkeypatch.setattr('sge_mmdet.conversion.new_config.FEW_OBJECTS', 1)
    new = write_new_config(FASTER, tmp_path / 'a.py', data)
    hook = new.cfg.default_hooks.checkpoint
    assert hook.save_best == 'coco/bbox_mAP_small' and hook.interval == 1
    data.ground_truth.area[:] = 99**2
    try:
        new = write_new_config(FASTER, tmp_path / 'b.py', data)
    finally:
        data.ground_truth.area[:] = 99
    assert new.cfg.default_hooks.checkpoint.save_best == 'coco/bbox_mAP'
    assert any('has no small objects' in note for note in new.notes)


def test_weights_that_need_torchvision_are_noted(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    new = write_new_config(FASTER, tmp_path / 'a.py', data)
    words = 'model.backbone.init_cfg.checkpoint=torchvision://resnet50 needs '
    assert any(words in note for note in new.notes)


def test_detector_with_masks_needs_masks(folder, tmp_path):
    write_yolo(tmp_path / 'yolo', folder)
    data = read_own_data(tmp_path / 'yolo')
    with pytest.raises(ValueError, match='annotations have no "segmentation"'):
        write_new_config(
            'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
            tmp_path / 'new.py',
            data,
        )


def test_annotations_of_folders_are_written_beside_the_config_once(
    folder, tmp_path
):
    write_yolo(tmp_path / 'yolo', folder)
    out = tmp_path / 'configs' / 'new.py'
    command = ['new_config.py', FASTER, '--train', tmp_path / 'yolo']
    code, shown = run_script(*command, '-o', out)
    assert code == 0 and 'new_val.json was written: 2 images' in shown
    cfg = Config.fromfile(out)
    assert Path(cfg.val_evaluator.ann_file) == out.with_name('new_val.json')
    before = {path: path.read_bytes() for path in out.parent.iterdir()}
    assert {path.name for path in before} == {
        'new.py',
        'new_train.json',
        'new_val.json',
    }
    for name in ('new.py', 'new_val.json'):
        code, shown = run_script(*command, '-o', out)
        assert code == 1 and 'is there already' in shown
        assert (out.parent / name).read_bytes() == before[out.parent / name]
        out.unlink(missing_ok=True)


def test_sge_is_added_and_the_plain_config_is_offered(folder, tmp_path):
    code, shown = run_script(
        'new_config.py',
        FASTER,
        *('--train', folder / 'train.json', '--val', folder / 'val.json'),
        *('--images', folder / 'images', '--sge', '-o', tmp_path / 'ships.py'),
        *('--gpus', 2),
    )
    assert code == 0
    cfg = Config.fromfile(tmp_path / 'ships.py')
    assert cfg.model.backbone.type == 'SGEResNet'
    assert cfg.model.roi_head.bbox_head.num_classes == 3
    lines = shown.splitlines()
    assert any(
        line.startswith('torchrun --nproc_per_node=2') for line in lines
    )
    assert any('new_config.py' in line and 'plain' in line for line in lines)


def test_detector_that_has_sge_already_is_trained_alone(folder, tmp_path):
    code, shown = run_script(
        'new_config.py',
        'sge_mmdet::sge/retinanet_r50-sge_fpn_1x_coco.py',
        *('--train', folder / 'train.json', '--val', folder / 'val.json'),
        *('--images', folder / 'images', '-o', tmp_path / 'ships.py'),
    )
    assert code == 0 and 'SGE cannot be added to it: model.backb' in shown
    assert (tmp_path / 'ships.py').is_file()


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['nope.py', '-o', 'x.py'], 'There is no config nope.py'),
        ([FASTER, '-o', 'x.json'], 'got x.json; name it x.py'),
        ([FASTER, '-o', 'mine.py'], 'mine.py is there already'),
        ([FASTER, '-o', 'x.py', '--gpus', '0'], '--gpus: expected 1 or more'),
    ],
)
def test_arguments_that_do_not_fit_end_in_one_line(
    arguments, words, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mine.py').write_text('mine')
    code, shown = run_script(
        'new_config.py',
        *arguments,
        *('--train', folder / 'train.json', '--val', folder / 'val.json'),
        *('--images', folder / 'images'),
    )
    assert code == 1 and words in shown
    assert shown.startswith('error: ') and shown.count('\n') == 1
    assert os.listdir(tmp_path) == ['mine.py']


@pytest.mark.parametrize(
    'name, words', [('buoy', ''), ('{{ fileDirname }}', 'rename the class')]
)
def test_odd_names_outlive_the_text_or_are_refused(
    name, words, folder, tmp_path
):
    names = ("bo'at", 'M\u00f6we "1"', name)
    for split in ('train', 'val'):
        content = json.loads((folder / f'{split}.json').read_text())
        for entry, new in zip(content['categories'], names):
            entry['name'] = new
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
    data = read_own_data(
        tmp_path / 'train.json', tmp_path / 'val.json', folder / 'images'
    )
    if words:
        with pytest.raises(ValueError, match=words):
            write_new_config(FASTER, tmp_path / 'new.py', data)
        assert not (tmp_path / 'new.py').exists()
    else:
        cfg = write_new_config(FASTER, tmp_path / 'new.py', data).cfg
        assert cfg.train_dataloader.dataset.metainfo.classes == names


def test_page_shows_what_its_command_writes(folder, tmp_path, monkeypatch):
    monkeypatch.setattr('sge_mmdet.conversion.new_config.FEW_OBJECTS', 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/harbour').symlink_to(folder)
    page = [
        snippet
        for snippet in snippets('shell', 'python')
        if snippet.page.name == 'your_data.md'
    ]
    command = page[0].commands()[0]
    assert run_script('new_config.py', *command[2:])[0] == 0
    (tmp_path / 'page.py').write_text(page[1].text)
    written, shown = map(Config.fromfile, ('harbour.py', 'page.py'))
    assert written.to_dict() == shown.to_dict()
