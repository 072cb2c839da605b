"""Writing of short configs that train a detector on the user's data."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from mmengine.config import Config

from ..datasets import OwnData
from ..evaluation.bins import size_bins
from ..utils import Writer, find_config, get_model, load_config, printable
from ..utils.configs import base_batch_size, inherited_files
from ..utils.pretrained import lacks_torchvision, pretrained_parts
from .add_sge import NotApplicableError, sge_changes
from .config import check_inheritable, derived_text
from .own_classes import class_changes
from .own_loaders import evaluator_change, loader_change
from .source_code import Code

SMALL, ALL = 'coco/bbox_mAP_small', 'coco/bbox_mAP'
# Small objects of the validation below which their AP is left to chance.
FEW_OBJECTS = 30


@dataclass(frozen=True)
class Batch:
    """Images in each training step.

    Attributes:
        gpus: Number of GPUs. Default: 1.
        images: Images on each GPU. Default: None, those of the base config.
    """

    gpus: int = 1
    images: Optional[int] = None

    def __post_init__(self) -> None:  # noqa: D105
        for name, value in (
            ('--gpus', self.gpus),
            ('--batch-size', self.images),
        ):
            if value is not None and value < 1:
                raise ValueError(f'{name}: expected 1 or more, got {value}')


@dataclass(frozen=True)
class NewConfig:
    """A config that was written.

    Attributes:
        path: The config.
        cfg: Its content.
        train: Annotation file of the training.
        val: Annotation file of the validation.
        notes: What was chosen, one sentence each.
    """

    path: Path
    cfg: Config
    train: Path
    val: Path
    notes: List[str]


def write_new_config(
    base: Union[str, Path],
    path: Union[str, Path],
    data: OwnData,
    batch: Batch = Batch(),
    sge: Optional[Dict[str, Any]] = None,
    overwrite: bool = False,
) -> NewConfig:
    """Write a short config that trains a detector on the user's data.

    Annotations that are not a file yet are written beside the config, as
    ``<config>_train.json`` and ``<config>_val.json``.

    Args:
        base (str or Path): Config of a detector to inherit: a file, or a
            config of MMDetection, as
            "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py".
        path (str or Path): File to write.
        data (OwnData): Data of :func:`read_own_data`.
        batch (Batch): Images in each training step, for which the learning
            rate is scaled. Default: those of ``base`` on one GPU.
        sge (dict, optional): Options of :func:`add_sge`. Default: None, no
            SGE.
        overwrite (bool): Whether to replace existing files. Default: False.

    Returns:
        NewConfig: The config.

    Raises:
        FileExistsError: If a file exists and ``overwrite`` is false, or is an
            input.
        FileNotFoundError: If ``base`` does not exist.
        OSError: If a file cannot be written.
        ValueError: If ``base`` is not the config of a detector that can be
            trained on such data, or SGE cannot be added to it.
    """
    path, source = Path(path), find_config(base)
    if path.suffix != '.py':
        raise ValueError(
            f'-o: expected a Python file as config to write, got {path}; name '
            f'it {path.with_suffix(".py")}'
        )
    check_inheritable(source)
    cfg = load_config(source)
    files = {
        name: split.file or path.with_name(f'{path.stem}_{name}.json')
        for name, split in data.splits.items()
    }
    notes: List[str] = []
    try:
        changes = _changes(cfg, data, files, batch, notes)
        if sge is not None:
            changes = _with_sge(changes, sge_changes(cfg, **sge))
    except NotApplicableError as error:
        raise NotApplicableError(f'{base}: {error}') from error
    except ValueError as error:
        raise ValueError(f'{base}: {error}') from error
    inputs = filter(None, (data.train.file, data.val.file))
    writer = Writer(overwrite, [*inherited_files(source), *inputs])
    text = derived_text(source, path.parent, changes)
    _write(path, text, data, files, writer)
    notes += [
        f'{files[name]} was written: {len(split.content["images"])} images of '
        f'{split.name}.'
        for name, split in data.splits.items()
        if split.file is None
    ]
    new = load_config(path)
    notes += _lacking_weights(new)
    return NewConfig(path, new, files['train'], files['val'], notes)


def _lacking_weights(cfg: Config) -> Iterator[str]:
    """Yield a note for weights that cannot be loaded on this machine."""
    for where, _, init_cfg in pretrained_parts(cfg.model):
        lack = lacks_torchvision(str(init_cfg.get('checkpoint')))
        if lack:
            yield (
                f'Training needs more: {where}.init_cfg.checkpoint='
                f'{lack}, or set {where}.init_cfg to None.'
            )


def _write(
    path: Path,
    text: str,
    data: OwnData,
    files: Dict[str, Path],
    writer: Writer,
) -> None:
    """Write a config, and annotations that are not a file yet."""
    new = {
        files[name]: split
        for name, split in data.splits.items()
        if split.file is None
    }
    writer.check(path, *new)
    with writer.replacing(path) as draft:
        draft.write(text.encode())
        draft.flush()
        _check_classes(load_config(draft.name), data.classes)
        for file, split in new.items():
            writer.write(file, split.text)


def _changes(
    cfg: Config,
    data: OwnData,
    files: Dict[str, Path],
    batch: Batch,
    notes: List[str],
) -> Dict[str, Any]:
    """Return the body of the derived config, in the order of its text."""
    model = get_model(cfg)
    root, below = _common_root(
        [files['train'], files['val'], data.train.images, data.val.images]
    )
    changes: Dict[str, Any] = dict(
        custom_imports=_imports(cfg),
        classes=data.classes,
        num_classes=Code('len(classes)'),
        data_root=root,
        model=class_changes(model, len(data.classes)),
    )
    places = dict(train=(below[0], below[2]), val=(below[1], below[3]))
    places['test'] = places['val']
    for name, (file, images) in places.items():
        changes[f'{name}_dataloader'] = loader_change(
            cfg, name, file, images, data.has_masks
        )
    for name in ('val', 'test'):
        changes[f'{name}_evaluator'] = evaluator_change(cfg, name, below[1])
    for what in ('dataloader', 'evaluator'):
        _share(changes, f'test_{what}', f'val_{what}')
    changes['default_hooks'] = dict(checkpoint=_save_best(data, notes))
    _set_batch(cfg, batch, changes, notes)
    return changes


def _check_classes(cfg: Config, classes: Tuple[str, ...]) -> None:
    """Raise if MMEngine reads other classes than were written."""
    for name, read in zip(classes, cfg.classes):
        if name != read:
            raise ValueError(
                f'expected names of classes that mean the same in a config, '
                f'got {printable(name)!r}, in which MMEngine replaces what is '
                'between {{ and }}; rename the class'
            )


def _imports(cfg: Config) -> Dict[str, Any]:
    """Return the imports of a config, with this package."""
    imports = dict(cfg.get('custom_imports') or {})
    names = imports.get('imports') or []
    names = [names] if isinstance(names, str) else list(names)
    imports['imports'] = list(dict.fromkeys([*names, 'sge_mmdet']))
    return imports


def _common_root(paths: List[Path]) -> Tuple[str, List[str]]:
    """Return the folder that holds all paths, and the paths below it."""
    if any(path.is_absolute() for path in paths):
        paths = [Path(os.path.abspath(path)) for path in paths]
    names = [os.path.normpath(path) for path in paths]
    if any(name.startswith('..') for name in names):
        names = [os.path.abspath(name) for name in names]
    # Files first, because a folder of images can be the common one.
    root = os.path.commonpath([os.path.dirname(name) for name in names])
    if root in ('', os.path.sep):
        root = ''
        below = names
    else:
        below = [os.path.relpath(name, root) for name in names]
    below = [Path(name).as_posix() for name in below]
    below[2:] = [f'{name}/' for name in below[2:]]
    return f'{Path(root).as_posix()}/' if root else '', below


def _share(changes: Dict[str, Any], name: str, other: str) -> None:
    """Write a value as the name of an equal one.

    MMEngine removes ``_delete_`` from a dict that it merges, so that a dict
    with it cannot stand in two places.
    """
    same = repr(changes[name]) == repr(changes[other])
    if same and '_delete_' not in repr(changes[name]):
        changes[name] = Code(other)


def _save_best(data: OwnData, notes: List[str]) -> Dict[str, str]:
    """Return the options that keep the best checkpoint."""
    small = next(bin for bin in size_bins('coco') if bin.name == 'small')
    truth = data.ground_truth
    count = int((small.holds(truth.area) & ~truth.crowd).sum())
    key = ALL if count < FEW_OBJECTS else SMALL
    notes.append(
        f'The best checkpoint is the one with the highest {key}: the '
        f'validation has {count or "no"} small objects of '
        f'{len(truth.area)} (area up to {small.high:g}^2 pixels)'
        + (
            ', too few to choose by their AP.'
            if 0 < count < FEW_OBJECTS
            else '.'
        )
    )
    return dict(save_best=key, rule='greater')


def _set_batch(
    cfg: Config, batch: Batch, changes: Dict[str, Any], notes: List[str]
) -> None:
    """Scale the learning rate to the images of a step, linearly."""
    images = batch.images or cfg.train_dataloader.get('batch_size')
    base = base_batch_size(cfg, inherited_files(Path(cfg.filename)))
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    rate = optimizer.get('lr')
    if batch.images:
        changes['train_dataloader']['batch_size'] = images
    if not (images and base and rate):
        notes.append(
            'The learning rate is that of the base config, which does not say '
            'for how many images a step it is (auto_scale_lr).'
        )
        return
    total = batch.gpus * images
    scale = total / base
    changes['auto_scale_lr'] = dict(base_batch_size=total)
    if 'enable' not in (cfg.get('auto_scale_lr') or {}):
        # MMDetection's --auto-scale-lr needs it.
        changes['auto_scale_lr']['enable'] = False
    if scale != 1:
        changes['optim_wrapper'] = dict(
            optimizer=dict(lr=_rounded(rate * scale))
        )
        schedule = _scaled_schedule(cfg.get('param_scheduler'), scale)
        if schedule:
            changes['param_scheduler'] = schedule
    gpus = f'{batch.gpus} GPU{"s" if batch.gpus > 1 else ""}'
    step = f'{images} image{"s" if images > 1 else ""}'
    notes.append(
        f'The learning rate is {_rounded(rate * scale):g}: {rate:g} for '
        f'{base} images a step in the base config, {total} here ({gpus} with '
        f'{step}{" each" if batch.gpus > 1 else ""}). With another number of '
        'GPUs, add --auto-scale-lr.'
    )


def _scaled_schedule(schedule: Any, scale: float) -> 'Optional[List[Any]]':
    """Return a schedule with scaled lower bounds; None if it has none."""
    steps = schedule if isinstance(schedule, (list, tuple)) else [schedule]
    if not any(isinstance(one, dict) and one.get('eta_min') for one in steps):
        return None
    return [
        dict(one, eta_min=_rounded(one['eta_min'] * scale))
        if one.get('eta_min')
        else dict(one)
        for one in steps
    ]


def _rounded(rate: float) -> float:
    """Return a rate without the last digits of a product."""
    return float(f'{rate:.6g}')


def _with_sge(changes: Dict[str, Any], sge: Dict[str, Any]) -> Dict[str, Any]:
    """Return changes merged with those of ``add_sge``."""
    merged = dict(changes)
    for key, value in sge.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _with_sge(merged[key], value)
        else:
            merged[key] = value
    return merged
