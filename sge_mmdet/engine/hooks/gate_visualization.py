"""SGE's gates while a detector is trained."""

from typing import Any, Dict, Optional, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ...utils.registration import register
from ...visualization.gates import (
    GateMaps,
    choose_layers,
    gates_figure,
    record_gates,
    similarity_figure,
)


@register(HOOKS)
class SGEVisualizationHook(Hook):
    """Draw SGE's gates over a validation image every N iterations.

    The sheets go to the config's ``vis_backends``: into the work directory
    (``<time>/vis_data/vis_image/sge_<layer>_<iteration>.png``), TensorBoard
    or whatever else is there. Each shows the gates at the start of the
    training beside those of now. Training itself is not changed by it.

    Args:
        interval (int): Iterations between sheets. Default: 1000.
        layers (Sequence[str], optional): Parts of the names of the layers to
            draw, such as "layer4". Default: None, the last layer of each
            stage.
        groups (Sequence[int], optional): Groups to draw. Default: None, those
            whose gates vary most over the image.
        number (int): How many of those. Default: 4.
        index (int): Which image of the validation's data set. Default: 0.

    Raises:
        ValueError: If ``interval`` or ``number`` is not positive; when
            training starts, if there is no SGE layer, no such layer or group,
            no validation image or nothing to write to.

    Examples:
        >>> custom_hooks = [dict(type='SGEVisualizationHook', interval=500)]
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int = 1000,
        layers: Optional[Sequence[str]] = None,
        groups: Optional[Sequence[int]] = None,
        number: int = 4,
        index: int = 0,
    ) -> None:
        for name, value in (('interval', interval), ('number', number)):
            if not value > 0:
                raise ValueError(
                    f'SGEVisualizationHook needs a positive '
                    f'{name}, got {value!r}'
                )
        self.interval = interval
        self.layers = layers
        self.groups = groups
        self.number = number
        self.index = index
        self.first: Dict[str, Dict[str, GateMaps]] = {}
        self.sample: Dict[str, Any] = {}

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Look at the gates before the first iteration.

        Args:
            runner (Runner): Of the training.
        """
        if not runner.visualizer._vis_backends:
            raise ValueError(
                'SGEVisualizationHook has nothing to write to; add '
                "visualizer.vis_backends=[dict(type='LocalVisBackend')]"
            )
        if runner.val_loop is None:
            raise ValueError(
                'SGEVisualizationHook draws over an image of the '
                'validation; the config has no val_dataloader'
            )
        images = runner.val_loop.dataloader.dataset
        if not 0 <= self.index < len(images):
            raise ValueError(
                f'SGEVisualizationHook.index is one of the '
                f'{len(images)} validation images, got '
                f'{self.index}'
            )
        self.sample = images[self.index]
        _, maps = record_gates(_unwrapped(runner.model), self.sample)
        self.first = {f'gate at iteration {runner.iter}': maps}
        # Groups and layers that do not exist are found out now.
        for name in choose_layers(maps, self.layers):
            maps[name].choose_groups(self.groups)

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Draw, every N iterations.

        Args:
            runner (Runner): Of the training.
            batch_idx (int): Not used.
            data_batch (optional): Not used. Default: None.
            outputs (dict, optional): Not used. Default: None.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        step = runner.iter + 1
        image, maps = record_gates(_unwrapped(runner.model), self.sample)
        history = {**self.first, f'gate at iteration {step}': maps}
        for name in choose_layers(maps, self.layers):
            of_layer = {when: of[name] for when, of in history.items()}
            groups = maps[name].choose_groups(self.groups, self.number)
            for kind, figure in (
                ('sge', gates_figure(image, of_layer, name, groups)),
                (
                    'sge_similarity',
                    similarity_figure(maps[name], name, groups),
                ),
            ):
                runner.visualizer.add_image(
                    f'{kind}_{name}', _pixels(figure), step
                )


def _unwrapped(model: Any) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
