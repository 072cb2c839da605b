"""Changes of data loaders and evaluators for the user's data."""

import re
from typing import Any, Dict, List, Tuple, Union

from mmengine.config import Config

from .source_code import Code, item_source

# Data sets of images with boxes, which CocoDataset stands in for.
BOX_DATA_SETS = {
    'CityscapesDataset',
    'CocoDataset',
    'CrowdHumanDataset',
    'DSDLDetDataset',
    'DeepFashionDataset',
    'LVISDataset',
    'LVISV05Dataset',
    'LVISV1Dataset',
    'Objects365V1Dataset',
    'Objects365V2Dataset',
    'OpenImagesChallengeDataset',
    'OpenImagesDataset',
    'V3DetDataset',
    'VOCDataset',
    'WIDERFaceDataset',
    'XMLDataset',
}
COCO = 'CocoDataset'


def loader_change(
    cfg: Config, name: str, ann_file: str, images: str, has_masks: bool
) -> Dict[str, Any]:
    """Return the change of a data loader.

    The text refers to variables ``classes`` and ``data_root``.

    Args:
        cfg (Config): Config to inherit.
        name (str): "train", "val" or "test".
        ann_file (str): Annotation file below ``data_root``.
        images (str): Folder of the images below ``data_root``.
        has_masks (bool): Whether the data has masks.

    Raises:
        ValueError: If the loader does not load images with boxes, or needs
            masks that the data lacks.
    """
    key = f'{name}_dataloader'
    loader = cfg.get(key)
    if not isinstance(loader, dict) or not isinstance(
        loader.get('dataset'), dict
    ):
        raise ValueError(
            f'expected a {key} with a dataset, got '
            f'{type(loader).__name__}; name the config of a detector that is '
            'trained on images'
        )
    if name == 'train':
        _check_labels(loader, has_masks)
    fields = dict(
        metainfo=dict(classes=Code('classes')),
        data_root=Code('data_root'),
        ann_file=ann_file,
        data_prefix=dict(img=images),
    )
    return dict(dataset=_change(loader['dataset'], (key, 'dataset'), fields))


def _change(
    dataset: Any, path: Tuple[Union[str, int], ...], fields: Dict[str, Any]
) -> Dict[str, Any]:
    """Return the change of a data set, also inside its wrappers."""
    if isinstance(dataset, dict) and isinstance(dataset.get('dataset'), dict):
        inner = _change(dataset['dataset'], (*path, 'dataset'), fields)
        return dict(dataset=inner)
    kind = _type_name(dataset)
    parts = dataset.get('datasets') if isinstance(dataset, dict) else None
    if isinstance(parts, (list, tuple)) and parts:
        kind, path = _type_name(parts[0]), (*path, 'datasets', 0)
        dataset = parts[0]
    if kind not in BOX_DATA_SETS:
        raise ValueError(
            f'expected a detector that is trained on images with boxes, such '
            f'as those of CocoDataset, got {kind} as the data set of '
            f'{path[0]}; name the config of a detector'
        )
    if parts is None and kind == COCO:
        if 'metainfo' in dataset:
            fields = dict(
                fields, metainfo=dict(_delete_=True, **fields['metainfo'])
            )
        return fields
    kept: Dict[str, Any] = {
        key: Code(item_source((*path, key)))
        for key in ('pipeline', 'filter_cfg')
        if dataset.get(key)
    }
    if str(path[0]) != 'train_dataloader':
        kept['test_mode'] = True
    return dict(_delete_=True, type=COCO, **fields, **kept)


def _type_name(dataset: Any) -> str:
    kind = dataset.get('type') if isinstance(dataset, dict) else dataset
    text = getattr(kind, '__name__', None) or str(kind)
    return text.rpartition('.')[2]


def _check_labels(loader: Any, has_masks: bool) -> None:
    """Raise if the training loads labels that the data does not have."""
    loaded = [
        part
        for part in _walk(loader)
        if 'Load' in _type_name(part) and 'Annotations' in _type_name(part)
    ]
    if any(part.get('with_seg') for part in loaded) or any(
        'Panoptic' in _type_name(part) for part in loaded
    ):
        raise ValueError(
            'expected a detector that is trained on boxes or masks, got one '
            'that needs maps of the class of each pixel (with_seg); name one '
            'without, such as mmdet::mask2former/'
            'mask2former_r50_8xb2-lsj-50e_coco.py or mmdet::htc/'
            'htc-without-semantic_r50_fpn_1x_coco.py'
        )
    if not has_masks and any(part.get('with_mask') for part in loaded):
        raise ValueError(
            'expected a detector that is trained on boxes, got one that needs '
            'masks (with_mask), and the annotations have no "segmentation"; '
            'name one without masks, such as mmdet::faster_rcnn/'
            'faster-rcnn_r50_fpn_1x_coco.py'
        )


def _walk(value: Any) -> 'List[dict]':
    """Return all dicts inside a value."""
    if isinstance(value, dict):
        inner = [one for item in value.values() for one in _walk(item)]
        return [value, *inner]
    if isinstance(value, (list, tuple)):
        return [one for item in value for one in _walk(item)]
    return []


def evaluator_change(cfg: Config, name: str, ann_file: str) -> Dict[str, Any]:
    """Return the change of an evaluator to ``SmallObjectMetric``.

    Args:
        cfg (Config): Config to inherit.
        name (str): "val" or "test".
        ann_file (str): Annotation file below ``data_root``.
    """
    evaluator = cfg.get(f'{name}_evaluator')
    fields: Dict[str, Any] = dict(
        type='SmallObjectMetric',
        ann_file=Code(f'data_root + {ann_file!r}'),
    )
    if isinstance(evaluator, dict) and _type_name(evaluator) == 'CocoMetric':
        if evaluator.get('format_only'):
            fields['format_only'] = False
        return fields
    with_masks = re.search("'segm'", repr(evaluator)) is not None
    metric: Any = ['bbox', 'segm'] if with_masks else 'bbox'
    # MMEngine replaces a list by a dict only with _delete_.
    return dict(_delete_=True, **fields, metric=metric)
