"""A data set of three classes, as a user has it: COCO, VOC and YOLO."""

import json
from pathlib import Path
from xml.sax.saxutils import escape

from sge_mmdet.datasets import DigitsOptions, make_digits

CLASSES = ('ship', 'buoy', 'old harbour')
# Detectors that are small enough to be trained in a test.
PIPELINES = """
image = [dict(type='LoadImageFromFile'),
         dict(type='LoadAnnotations', with_bbox=True),
         dict(type='Resize', scale=(64, 64), keep_ratio=True)]
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=2, **loader, dataset=dict(
    pipeline=image + [dict(type='PackDetInputs')]))
val_dataloader = dict(
    **loader, batch_size=1,
    dataset=dict(pipeline=image + [_base_.test_pipeline[-1]]))
test_dataloader = val_dataloader
default_hooks = dict(logger=dict(interval=1))
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1,
                 val_interval=1)
custom_hooks = []
"""
BASES = dict(
    faster="""
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(stem_channels=16, base_channels=16, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=32),
                  bbox_head=dict(in_channels=32, fc_out_channels=32)),
    test_cfg=dict(rpn=dict(nms_pre=50, max_per_img=20)))
"""
    + PIPELINES,
    rtmdet="""
_base_ = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
model = dict(backbone=dict(init_cfg=None), test_cfg=dict(nms_pre=50))
"""
    + PIPELINES,
)


def write_coco(folder):
    """Write ``train.json``, ``val.json`` and their images to ``images``."""
    make_digits(
        folder / 'digits',
        DigitsOptions(
            train_images=4,
            val_images=2,
            image_size=64,
            max_digit=48,
            max_objects=4,
        ),
    )
    (folder / 'images').mkdir()
    for split in ('train', 'val'):
        file = folder / 'digits' / 'annotations' / f'{split}.json'
        content = json.loads(file.read_text())
        content['categories'] = [
            dict(id=i, name=name) for i, name in enumerate(CLASSES, 7)
        ]
        for image in content['images']:
            name = f'{split}_{image["file_name"]}'
            source = folder / 'digits' / split / image['file_name']
            source.rename(folder / 'images' / name)
            image['file_name'] = name
        for entry in content['annotations']:
            entry['category_id'] = 7 + entry['category_id'] % 3
        (folder / f'{split}.json').write_text(json.dumps(content))


def write_voc(folder, coco):
    """Write the data of :func:`write_coco` in the layout of VOC."""
    for below in ('Annotations', 'JPEGImages', 'ImageSets/Main'):
        (folder / below).mkdir(parents=True)
    for split, image, objects in _images(coco):
        stem = Path(image['file_name']).stem
        with (folder / f'ImageSets/Main/{split}.txt').open('a') as file:
            file.write(f'{stem}\n')
        (folder / 'JPEGImages' / image['file_name']).symlink_to(
            coco / 'images' / image['file_name']
        )
        lines = ['<annotation>', f'<filename>{image["file_name"]}</filename>']
        for name, (x, y, w, h) in objects:
            lines.append(
                f'<object><name>{escape(name)}</name>'
                f'<difficult>0</difficult><bndbox><xmin>{x + 1}</xmin>'
                f'<ymin>{y + 1}</ymin><xmax>{x + w + 1}</xmax>'
                f'<ymax>{y + h + 1}</ymax></bndbox></object>'
            )
        (folder / 'Annotations' / f'{stem}.xml').write_text(
            '\n'.join([*lines, '</annotation>'])
        )


def write_yolo(folder, coco):
    """Write the data of :func:`write_coco` in the layout of YOLO."""
    for split in ('train', 'val'):
        for kind in ('images', 'labels'):
            (folder / kind / split).mkdir(parents=True)
    (folder / 'data.yaml').write_text(
        'train: images/train\nval: images/val\nnames:\n'
        + ''.join(f'  {i}: {name}\n' for i, name in enumerate(CLASSES))
    )
    for split, image, objects in _images(coco):
        (folder / 'images' / split / image['file_name']).symlink_to(
            coco / 'images' / image['file_name']
        )
        side = image['width']
        lines = [
            f'{CLASSES.index(name)} {(x + w / 2) / side} {(y + h / 2) / side} '
            f'{w / side} {h / side}\n'
            for name, (x, y, w, h) in objects
        ]
        stem = Path(image['file_name']).stem
        (folder / 'labels' / split / f'{stem}.txt').write_text(''.join(lines))


def _images(coco):
    """Yield split, image, and name and box of its objects."""
    for split in ('train', 'val'):
        content = json.loads((coco / f'{split}.json').read_text())
        for image in content['images']:
            yield (
                split,
                image,
                [
                    (CLASSES[entry['category_id'] - 7], entry['bbox'])
                    for entry in content['annotations']
                    if entry['image_id'] == image['id']
                ],
            )
