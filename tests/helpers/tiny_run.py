"""The demo at the size of a test: a few iterations on some small images."""

from pathlib import Path

from sge_mmdet.datasets import DigitsOptions, make_digits

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
TINY = """
_base_ = {base!r}
data_root = {data!r}
image = [dict(type='LoadImageFromFile'),
         dict(type='LoadAnnotations', with_bbox=True),
         dict(type='Resize', scale=(64, 64), keep_ratio=True)]
train_dataloader = dict(dataset=dict(
    data_root=data_root, pipeline=image + [dict(type='PackDetInputs')]))
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(data_root=data_root,
                 pipeline=image + [_base_.test_pipeline[-1]]))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator
# One of its own: MMEngine keeps them, by name, while the process lasts.
visualizer = dict(name=data_root)
default_hooks = dict(logger=dict(interval=1))
"""


def write_tiny_run(
    folder,
    extra='',
    train_images=5,
    val_images=3,
    base='faster-rcnn_r50-w16-sge_fpn_400i_digits.py',
):
    """Write a data set and a config of the demo on it; return the config."""
    make_digits(
        folder / 'digits',
        DigitsOptions(
            train_images=train_images,
            val_images=val_images,
            image_size=64,
            max_digit=48,
            max_objects=4,
        ),
    )
    config = folder / 'tiny.py'
    config.write_text(
        TINY.format(base=str(DEMO / base), data=f'{folder}/digits/') + extra
    )
    return config
