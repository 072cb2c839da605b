"""Shared start: configs that are compared start from the same weights."""

from typing import Optional

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, load_checkpoint, set_random_seed

from ...utils import build_part
from ...utils.registration import register


@register(HOOKS)
class SharedStartHook(Hook):
    """Start the trainings of several models with the weights of one.

    With the same seed, models still start with different weights if one of
    them has more layers, since each layer draws random numbers. This hook
    initialises one model with the seed of the training, and copies each
    parameter and buffer that both have under one name and in one shape. What
    only the trained model has, such as its attention, keeps its own start.
    If all configs that are compared have this hook, the plain one too, the
    trainings of one seed differ by nothing but their models, which makes the
    interval of a difference paired by seed narrower.

    A training that is resumed is left as it is.

    Args:
        model (dict): Config of the model whose weights all start with.
        load_from (str, optional): Checkpoint that it starts from. Default:
            None.

    Raises:
        ValueError: When training starts, if the two models have no weights in
            common.

    Examples:
        >>> plain = dict(type='RetinaNet', backbone=dict(type='ResNet'))
        >>> custom_hooks = [dict(type='SharedStartHook', model=plain)]
    """

    def __init__(self, model: dict, load_from: Optional[str] = None) -> None:
        self.model = model
        self.load_from = load_from

    def before_train(self, runner: Runner) -> None:
        """Copy the weights.

        Args:
            runner (Runner): Runner of the training.
        """
        if runner.iter:
            return
        model = runner.model
        target = model.module if is_model_wrapper(model) else model
        with torch.random.fork_rng():
            set_random_seed(runner.seed)
            other = build_part(self.model)
            other.init_weights()
        if self.load_from:
            load_checkpoint(other, self.load_from, map_location='cpu')
        start = other.state_dict()
        own = target.state_dict()
        shared = [
            name
            for name, value in own.items()
            if name in start and start[name].shape == value.shape
        ]
        if not shared:
            raise ValueError(
                f'SharedStartHook: {type(target).__name__} has no weights of '
                'the names and shapes that the other model '
                f'({type(other).__name__}) has; name the model of a config '
                'that differs in its attention alone'
            )
        for name in shared:
            own[name].copy_(start[name])
        runner.logger.info(
            f'{len(shared)} of {len(own)} parameters and buffers have the '
            'start that all compared models share (SharedStartHook)'
        )
