"""Conversion of checkpoint files for SGE models of MMDetection 3.x."""

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from ..models.layers import SpatialGroupEnhance
from ..utils import Writer, build_model, printable_list
from .function_preserving import (
    sge_layers,
    with_folded_factors,
    with_function_preserving_sge,
)
from .legacy import is_legacy_two_stage, strip_module, upgrade_legacy_detector

# Layers of an ImageNet classifier, which a detector's backbone lacks.
CLASSIFIER = ('fc.weight', 'fc.bias')
# Differences that a message shows.
MOST_FAULTS = 2


class Conversion(NamedTuple):
    """Result of a conversion.

    Attributes:
        state_dict (dict[str, Tensor]): Converted weights.
        steps (list[str]): Descriptions of the changes.
    """

    state_dict: Dict[str, Tensor]
    steps: List[str]


def convert_state_dict(
    state_dict: Dict[str, Tensor],
    model: Optional[nn.Module] = None,
    fold: bool = False,
) -> Conversion:
    """Convert weights for a model of MMDetection 3.x with SGE.

    - Names and layouts of MMDetection 0.6 become those of 3.x.
    - Weights without SGE get SGE layers with function-preserving
      initialisation; see :func:`with_function_preserving_sge`.
    - The prefix ``module.`` is stripped. The classifier on a backbone is
      dropped, including that of MMPretrain (``backbone.`` and ``head.``).

    Args:
        state_dict (dict[str, Tensor]): Weights of a backbone, of a classifier
            or of a detector.
        model (nn.Module, optional): Detector that the weights are for; the
            weights of a backbone are for its ``backbone``. The weights are
            loaded into it, to check that they fit. Weights without SGE need
            it. Default: None.
        fold (bool): Whether the constant factors of SGE with
            ``preserve=True`` are multiplied into the norms before them and
            removed; it needs the model. Default: False.

    Raises:
        ValueError: If the weights do not fit the model, or a factor cannot be
            folded; the message names the keys.
    """
    if not isinstance(state_dict, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor)
        for key, value in state_dict.items()
    ):
        raise ValueError(
            'The weights are not a dict of names and tensors; give '
            'a checkpoint with a state_dict'
        )
    state, steps = _with_current_names(state_dict)
    is_backbone = any(key.startswith('layer1.') for key in state)
    if is_backbone:
        model = _find_backbone(model)
    # The name of a plugin includes its postfix, as in "sge1".
    has_sge = any(re.search(r'(^|\.)sge\w*\.', key) for key in state)
    if fold:
        state, folded = _with_folded_factors(state, model)
        steps += folded
    if not has_sge:
        state, added = _with_new_sge(state, model)
        steps += added
    elif model is not None:
        steps += _check_fit(state, model)
    elif not is_backbone and not any(
        key.startswith('backbone.layer1.') for key in state
    ):
        raise ValueError(
            'Expected the weights of a ResNet-like backbone, or of a '
            'detector with one, got the keys '
            f'{printable_list(state)}; for another backbone name the config '
            'of the model with SGE'
        )
    return Conversion(state, steps or ['nothing had to be changed'])


def _with_current_names(state_dict: Dict[str, Tensor]) -> Conversion:
    """Return weights with the names and layouts of MMDetection 3.x.

    A classifier on a backbone is dropped.
    """
    steps = []
    state = strip_module(state_dict)
    if state.keys() != state_dict.keys():
        steps.append('dropped "module." from the keys')
    if is_legacy_two_stage(state):
        state = upgrade_legacy_detector(state)
        steps.append('moved heads and background from MMDetection 0.6 to 3.x')
    if {key.partition('.')[0] for key in state} == {'backbone', 'head'}:
        # Detectors have no part named head.
        state = {
            key.partition('.')[2]: value
            for key, value in state.items()
            if key.startswith('backbone.')
        }
        steps.append("took the backbone out of MMPretrain's classifier")
    if any(key.startswith('layer1.') for key in state):
        dropped = [
            key for key in CLASSIFIER if state.pop(key, None) is not None
        ]
        if dropped:
            steps.append(f'dropped {" and ".join(dropped)}')
    return Conversion(state, steps)


def _with_folded_factors(
    state: Dict[str, Tensor], model: Optional[nn.Module]
) -> Conversion:
    """Return weights without the factors of SGE with ``preserve=True``."""
    if model is None:
        raise ValueError(
            'Folding needs the model, to find the norms before SGE; name its '
            'config (--config)'
        )
    folded = with_folded_factors(state, model)
    return Conversion(
        folded,
        [
            f'multiplied {len(state) - len(folded)} factors of SGE into the '
            'parameters before them'
        ],
    )


def _with_new_sge(
    state: Dict[str, Tensor], model: Optional[nn.Module]
) -> Conversion:
    """Return weights with new SGE layers that preserve the function."""
    if model is None:
        raise ValueError(
            f'The weights have no SGE ({printable_list(state)}); name the '
            'config of the model with SGE that they are for (--config)'
        )
    layers = sge_layers(model)
    if not layers:
        raise ValueError(
            'The model of the config has no SGE; '
            'tools/add_sge.py writes one that has'
        )
    steps = _check_fit(state, model, without_sge=True)
    divided = sum(layer.factor is None for layer in layers.values())
    steps.append(
        f'added {len(layers)} SGE layers'
        + (
            f' and divided the parameters before {divided} of them by their '
            'gate'
            if divided
            else ', which preserve the function'
        )
    )
    return Conversion(with_function_preserving_sge(state, model), steps)


def convert_checkpoint(
    source: Union[str, Path],
    target: Union[str, Path],
    cfg: Optional[Config] = None,
    overwrite: bool = False,
    fold: bool = False,
) -> 'list[str]':
    """Convert a checkpoint file; see :func:`convert_state_dict`.

    The new file has the weights and the meta data of the data set. The states
    of the optimizer and the schedulers are dropped, because they belong to
    the old parameters.

    Args:
        source (str or Path): Checkpoint: a file, or a URL that MMEngine loads.
        target (str or Path): File to write.
        cfg (Config, optional): Config of the detector that the weights are
            for; weights without SGE need it. Default: None.
        overwrite (bool): Whether to replace an existing file. Default: False.
        fold (bool): Whether to fold the factors of SGE with ``preserve=True``;
            see :func:`convert_state_dict`. Default: False.

    Returns:
        list[str]: Descriptions of the changes.

    Raises:
        FileExistsError: If the target exists and ``overwrite`` is false, or if
            it is the source or the config.
        FileNotFoundError: If the checkpoint does not exist.
        OSError: If the target cannot be written.
        RuntimeError: If the checkpoint cannot be read.
        ValueError: If the weights do not fit the model.
    """
    inputs = [source, *filter(None, [cfg and cfg.filename])]
    writer = Writer(overwrite, inputs)
    writer.check(target)
    checkpoint = CheckpointLoader.load_checkpoint(
        str(source), map_location='cpu'
    )
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'{source}: expected the dict of a checkpoint, got a '
            f'{type(checkpoint).__name__}'
        )
    weights: Any = checkpoint.get(
        'state_dict', checkpoint.get('model', checkpoint)
    )
    model = None if cfg is None else build_model(cfg)
    try:
        conversion = convert_state_dict(weights, model, fold)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    meta = dict(converted_from=str(source))
    meta.update(_dataset_meta(checkpoint.get('meta')))
    with writer.replacing(target) as file:
        torch.save(dict(meta=meta, state_dict=conversion.state_dict), file)
    return conversion.steps


def _dataset_meta(meta: Any) -> dict:
    """Keep the class names, which MMDetection 0.6 stored as ``CLASSES``."""
    if not isinstance(meta, dict):
        return {}
    if 'dataset_meta' in meta:
        return dict(dataset_meta=meta['dataset_meta'])
    if isinstance(meta.get('CLASSES'), (list, tuple)):
        return dict(dataset_meta=dict(classes=tuple(meta['CLASSES'])))
    return {}


def _find_backbone(model: Optional[nn.Module]) -> Optional[nn.Module]:
    """Return the first backbone in a model, or the model itself."""
    if model is None:
        return None
    return next(
        (
            part
            for name, part in model.named_modules()
            if name.split('.')[-1] == 'backbone'
        ),
        model,
    )


def _check_fit(
    state: Dict[str, Tensor], model: nn.Module, without_sge: bool = False
) -> 'List[str]':
    """Raise unless weights fit a model, apart from heads that it lacks.

    The weights are loaded as in a run, because MMDetection's models rename
    keys of older versions then.

    Returns:
        list[str]: Note on surplus weights, if there are any.
    """
    try:
        missing, left = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        faults = str(error).strip().splitlines()[1:]
        shown = ' '.join(fault.strip() for fault in faults[:MOST_FAULTS])
        raise ValueError(
            f'The weights do not fit the {type(model).__name__} of the '
            f'config, with {len(faults)} differences such as: {shown} Name '
            'the config of the model that they are from, with SGE'
        ) from error
    if without_sge:
        missing = [key for key in missing if not _is_sge(key, model)]
    fixed = [
        key
        for key in left
        if key.startswith('backbone.') or key.startswith('layer')
    ]
    if missing or fixed:
        raise ValueError(
            f'The weights do not fit the {type(model).__name__} of the '
            f'config. {len(missing)} missing: '
            f'{printable_list(missing) or "-"}; {len(left)} without a place: '
            f'{printable_list(left) or "-"}. Name the config of the model '
            'that they are from, with SGE'
        )
    return (
        [
            f'kept {len(left)} that have no place in the model: '
            f'{printable_list(left)}'
        ]
        if left
        else []
    )


def _is_sge(key: str, model: nn.Module) -> bool:
    return isinstance(
        model.get_submodule(key.rpartition('.')[0]), SpatialGroupEnhance
    )
