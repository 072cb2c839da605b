"""The model of a config, built without memory, and its first weights."""

import difflib
import os.path as osp
import re
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmdet.registry import MODELS
from mmengine.config import Config
from torch import nn

from ...utils import build_model, printable, quiet_log
from ...utils.pretrained import lacks_torchvision, pretrained_parts
from ..checkpoints import load_local_checkpoint
from .findings import Findings

# Models that load other files when they are built.
LOADING = ('language_model', 'teacher_ckpt', 'teacher_config')
# Share of a model's values below which weights are taken for another model's.
SMALLEST_SHARE = 0.5
DEPTH = re.compile(r'(?:resnet|resnext|res2net|resnest)(\d+)')


def check_options(findings: Findings, part: Any, where: str = 'model') -> None:
    """Check the options of SGE in a model, whose errors would be obscure.

    Args:
        findings (Findings): Where findings are added.
        part (Any): Model or a part of it.
        where (str): Place of the part. Default: "model".
    """
    if isinstance(part, (list, tuple)):
        for i, item in enumerate(part):
            check_options(findings, item, f'{where}[{i}]')
    if not isinstance(part, dict):
        return
    if str(part.get('type')).startswith('SGE'):
        sge, stages = part.get('sge'), part.get('sge_stages')
        if sge is not None and not isinstance(sge, dict):
            example = sge if isinstance(sge, int) else 64
            findings.error(
                f'{where}.sge: expected a dict of options such as '
                f'dict(groups={int(example) or 64}), got {sge!r}'
            )
        if stages is not None and not isinstance(stages, (list, tuple)):
            findings.error(
                f'{where}.sge_stages: expected a value for each stage, such '
                f'as (True, True, True, False), got {stages!r}; for a '
                'backbone without SGE, use the type '
                f'{part["type"][len("SGE") :]}'
            )
    for key, item in part.items():
        check_options(findings, item, f'{where}.{key}')


def build_without_memory(
    findings: Findings, cfg: Config
) -> Optional[nn.Module]:
    """Build the model on the meta device, which takes no memory.

    A model that needs values while it is built is built on the CPU.

    Args:
        findings (Findings): Where an error is added.
        cfg (Config): Config of the model.

    Returns:
        nn.Module or None: The model; None if it cannot be built, or loads
        other files while it is built.
    """
    if any(key in cfg.model for key in LOADING):
        return None
    with quiet_log():
        try:
            with torch.device('meta'):
                return build_model(cfg)
        except ValueError:
            pass
        try:
            return build_model(cfg)
        except ValueError as error:
            text = str(error).partition(' cannot be built: ')[2]
            untyped = list(_untyped_parts(cfg.model))
            if 'must contain the key "type"' in text and untyped:
                findings.error(
                    f'{untyped[0]}: no type; name the type of this part, or '
                    'remove "_delete_" so that the inherited one counts'
                )
            # mmcv's SyncBN can only be built inside a process group.
            elif 'process group' not in text:
                findings.error(
                    f'model: it cannot be built: {printable(text, 160)}'
                    f'{_nearest_type(text)}'
                )
    return None


def _untyped_parts(part: Any, where: str = 'model') -> Iterator[str]:
    """Yield the places of backbones, necks and heads without a type."""
    if isinstance(part, (list, tuple)):
        for i, item in enumerate(part):
            yield from _untyped_parts(item, f'{where}[{i}]')
    if not isinstance(part, dict):
        return
    if 'type' not in part and re.search(r'(model|head|bone|neck)$', where):
        yield where
    for key, item in part.items():
        yield from _untyped_parts(item, f'{where}.{key}')


def check_roi_heads(findings: Findings, model: nn.Module) -> None:
    """Check that RoI heads can predict boxes; MMDetection trains without.

    Args:
        findings (Findings): Where findings are added.
        model (nn.Module): The model.
    """
    for name, module in model.named_modules():
        if isinstance(module, BaseRoIHead) and not module.with_bbox:
            findings.error(
                f'model.{name}: a {type(module).__name__} without a '
                '"bbox_head" finds no objects, and the validation fails; '
                'give it a bbox_head and a bbox_roi_extractor'
            )


def _nearest_type(text: str) -> str:
    """Return the end of a message about a type that is not registered."""
    found = re.search(r'(\w+) is not in the mmdet::model registry', text)
    near = (
        difflib.get_close_matches(found[1], MODELS.module_dict, 1)
        if found
        else []
    )
    return f'; the nearest type is {near[0]}' if near else ''


def check_weights(
    findings: Findings, cfg: Config, model: Optional[nn.Module]
) -> None:
    """Check that weights are of such a model.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config of the training.
        model (nn.Module, optional): The model. None if it is not built.
    """
    for where, part, init_cfg in pretrained_parts(cfg.model):
        checkpoint = init_cfg.get('checkpoint')
        if not isinstance(checkpoint, str):
            continue
        _check_depth(findings, where, part, checkpoint)
        module = _submodule(model, where)
        prefix = str(init_cfg.get('prefix') or '')
        place = f'{where}.init_cfg.checkpoint'
        _check_file(findings, place, checkpoint, module, prefix)
    if isinstance(cfg.get('load_from'), str):
        _check_file(findings, 'load_from', cfg.load_from, model, '')


def _check_depth(
    findings: Findings, where: str, part: Dict[str, Any], checkpoint: str
) -> None:
    """Compare the depth of a ResNet with that in the name of its weights."""
    found = DEPTH.search(checkpoint.lower().replace('_v1', ''))
    depth = part.get('depth')
    if found and isinstance(depth, int) and int(found[1]) != depth:
        findings.warn(
            f'{where}: depth={depth}, and {checkpoint} is of depth '
            f'{found[1]}, so that many layers begin with random weights; set '
            'init_cfg.checkpoint to weights of this depth, or depth='
            f'{found[1]}'
        )


def _check_file(
    findings: Findings,
    where: str,
    checkpoint: str,
    module: Optional[nn.Module],
    prefix: str,
) -> None:
    """Compare the values in a local file with those of a module.

    Of weights elsewhere, only the package that finds them is checked.
    """
    lack = lacks_torchvision(checkpoint)
    if lack:
        option = where.replace('.checkpoint', '')
        findings.error(f'{where}: {lack}, or set {option} to None')
    if '://' in checkpoint:
        return
    path = osp.expanduser(checkpoint)
    if not osp.isfile(path):
        findings.error(
            f'{where}: there is no file {checkpoint}; name a file or an '
            'address, or set it to None'
        )
        return
    if module is None:
        return
    try:
        shapes = _shapes(path, prefix)
    except RuntimeError as error:
        findings.error(f'{where}: {error}')
        return
    wanted = {
        key: tuple(value.shape) for key, value in module.state_dict().items()
    }
    fitting = sum(shapes.get(key) == shape for key, shape in wanted.items())
    if fitting < SMALLEST_SHARE * len(wanted):
        first = next(
            key for key, shape in wanted.items() if shapes.get(key) != shape
        )
        findings.warn(
            f'{where}: only {fitting} of the {len(wanted)} values of the '
            f'model fit those of {checkpoint}, and the others begin at '
            f'random; the first is {first}, of the shape {wanted[first]} in '
            f'the model and {shapes.get(first, "not")} in the file. Name '
            'weights of such a model'
        )


def _shapes(path: str, prefix: str) -> 'Dict[str, Tuple[int, ...]]':
    """Return the shapes of the values in a file below a prefix."""
    content = load_local_checkpoint(path)
    start = f'{prefix.rstrip(".")}.' if prefix else ''
    shapes = {}
    for key, value in content.get('state_dict', content).items():
        name = re.sub(r'^module\.', '', str(key))
        if isinstance(value, torch.Tensor) and name.startswith(start):
            shapes[name[len(start) :]] = tuple(value.shape)
    return shapes


def _submodule(model: Optional[nn.Module], where: str) -> Optional[nn.Module]:
    """Return the part of a model at a place in its config."""
    try:
        below = where.partition('.')[2]
        return model.get_submodule(below) if model is not None else None
    except AttributeError:
        return None
