import json

import numpy as np
import pytest
from matplotlib.image import imread
from mmdet.datasets import CocoDataset
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sge_mmdet.datasets import DigitsOptions, make_digits
from sge_mmdet.datasets.digits import _load_scans
from tests.helpers.scripts import run_script

OPTIONS = DigitsOptions(train_images=6, val_images=5, image_size=160, seed=3)


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'digits'
    assert make_digits(out, OPTIONS)
    return out


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


@pytest.mark.parametrize('split, images', [('train', 6), ('val', 5)])
def test_boxes_and_areas_are_those_of_the_masks(digits, split, images):
    coco = COCO(digits / 'annotations' / f'{split}.json')
    assert len(coco.imgs) == images
    assert len(coco.anns) >= images
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        assert annotation['area'] == mask.sum() > 0
        assert annotation['bbox'] == [
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        ]
        assert 5 <= np.ptp(rows) + 1 <= OPTIONS.max_digit + 2


def test_images_have_the_size_that_they_say(digits):
    coco = COCO(digits / 'annotations' / 'val.json')
    for image in coco.imgs.values():
        pixels = imread(digits / 'val' / image['file_name'])
        assert pixels.shape == (160, 160, 3)
        assert (image['height'], image['width']) == (160, 160)


def test_digits_differ_from_what_is_around_them(digits):
    """Each digit is visible: its ink is not the colour of its box."""
    coco = COCO(digits / 'annotations' / 'train.json')
    contrasts = []
    for annotation in coco.anns.values():
        name = coco.imgs[annotation['image_id']]['file_name']
        pixels = imread(digits / 'train' / name).mean(2)
        mask = coco.annToMask(annotation).astype(bool)
        box = np.zeros_like(mask)
        x, y, w, h = map(int, annotation['bbox'])
        box[max(0, y - 2) : y + h + 2, max(0, x - 2) : x + w + 2] = True
        contrasts.append(abs(pixels[mask].mean() - pixels[box & ~mask].mean()))
    assert np.median(contrasts) > 30


def test_most_objects_are_small_and_none_overlap(digits):
    coco = COCO(digits / 'annotations' / 'train.json')
    areas = [annotation['area'] for annotation in coco.anns.values()]
    assert np.mean(np.less(areas, 32**2)) > 0.5
    for image_id in coco.imgs:
        annotations = coco.imgToAnns[image_id]
        union = coco_mask.merge([a['segmentation'] for a in annotations])
        assert coco_mask.area(union) == sum(a['area'] for a in annotations)


def test_train_and_val_share_no_scan():
    scans = _load_scans(seed=0)
    kept = [
        {scan.tobytes() for scan, _ in scans[split]}
        for split in ('train', 'val')
    ]
    assert len(scans['train']) + len(scans['val']) == 1797
    assert not kept[0] & kept[1]


def test_same_seed_gives_the_same_files_and_another_seed_others(
    digits, tmp_path
):
    make_digits(tmp_path / 'same', OPTIONS)
    assert contents(tmp_path / 'same') == contents(digits)
    other = DigitsOptions(train_images=6, val_images=5, image_size=160, seed=4)
    make_digits(tmp_path / 'other', other)
    assert contents(tmp_path / 'other') != contents(digits)


def test_mmdetection_reads_it_with_masks(digits):
    dataset = CocoDataset(
        data_root=str(digits),
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        metainfo=dict(classes=tuple('0123456789')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
        ],
    )
    assert len(dataset) == 5
    item = dataset[0]
    assert len(item['gt_masks']) == len(item['gt_bboxes']) > 0
    assert item['gt_masks'].to_ndarray().any((1, 2)).all()


def test_second_call_finds_it_complete(digits):
    before = contents(digits)
    assert not make_digits(digits, OPTIONS)
    assert contents(digits) == before


def test_other_files_are_never_touched(digits, tmp_path):
    (tmp_path / 'thesis.txt').write_text('precious')
    before = contents(tmp_path), contents(digits)
    for folder in (tmp_path, tmp_path / 'thesis.txt', digits):
        with pytest.raises(
            FileExistsError, match='already contains other files'
        ):
            make_digits(folder, DigitsOptions(train_images=1, val_images=1))
    assert (contents(tmp_path), contents(digits)) == before


def test_interrupted_run_leaves_no_half_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr('sge_mmdet.datasets.digits._mask_fields', None)
    with pytest.raises(TypeError):
        make_digits(tmp_path / 'digits', OPTIONS)
    assert not (tmp_path / 'digits').exists()
    monkeypatch.undo()
    assert make_digits(tmp_path / 'digits', OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ['digits']


@pytest.mark.parametrize(
    'options, words',
    [
        (dict(train_images=0), 'train_images: expected at least 1, got 0'),
        (dict(min_digit=50, max_digit=40), '50, 40 and 256'),
        (dict(image_size=100), '8, 110 and 100 pixels'),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DigitsOptions(**options)


def test_tool_says_what_it_did_or_what_is_wrong(tmp_path):
    command = [
        'make_digits.py',
        '--train-images',
        '1',
        '--val-images',
        '1',
        '--out',
        tmp_path / 'd',
    ]
    code, output = run_script(*command)
    assert code == 0 and 'written' in output
    content = json.loads((tmp_path / 'd/annotations/val.json').read_text())
    assert content['info']['options']['train_images'] == 1
    code, output = run_script(*command, '--seed', '1')
    assert code == 1
    assert output.startswith('error: ')
    assert 'already contains other files' in output
