"""Hook that draws SGE's gates during training."""

from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

import numpy as np
from mmdet.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from ...utils.registration import register

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...visualization.gates import GateMaps


@register(HOOKS)
class SGEVisualizationHook(Hook):
    """Draw SGE's gates over a validation image every N iterations.

    The figures go to the config's ``vis_backends``: the work directory
    (``<time>/vis_data/vis_image/sge_<layer>_<iteration>.png``), TensorBoard or
    others. Each figure shows the gates at the start of training and the
    current ones. The hook does not affect training.

    Args:
        interval (int): Number of iterations between figures. Default: 1000.
        layers (Sequence[str], optional): Parts of the names of the layers to
            draw, such as "layer4". Default: None, the last layer of each
            stage.
        groups (Sequence[int], optional): Indices of groups to draw. Default:
            None, the groups whose gates vary most over the image.
        number (int): Number of groups if ``groups`` is None. Default: 4.
        index (int): Index of the image in the validation set. Default: 0.

    Raises:
        ValueError: If ``interval`` or ``number`` is not positive, or if a
            layer, group, validation image or visualization backend is missing
            when training starts.

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
                    f'SGEVisualizationHook.{name}: expected a positive '
                    f'number, got {value!r}'
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
        """Record the gates before the first iteration.

        Args:
            runner (Runner): Runner of the training.
        """
        if not runner.visualizer._vis_backends:
            raise ValueError(
                'SGEVisualizationHook needs a backend to write to; add '
                "visualizer.vis_backends=[dict(type='LocalVisBackend')]"
            )
        if runner.val_loop is None:
            raise ValueError(
                'SGEVisualizationHook draws over an image of the validation '
                'set; add a val_dataloader to the config'
            )
        from ...visualization.gates import choose_layers, record_gates

        images = runner.val_loop.dataloader.dataset
        if not 0 <= self.index < len(images):
            raise ValueError(
                'SGEVisualizationHook.index: expected an index of the '
                f'{len(images)} validation images, got {self.index}'
            )
        self.sample = images[self.index]
        _, maps = record_gates(_unwrapped(runner.model), self.sample)
        self.first = {f'gate at iteration {runner.iter}': maps}
        # Raise now if a layer or group does not exist.
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
        """Draw the gates every N iterations.

        Args:
            runner (Runner): Runner of the training.
            batch_idx (int): Unused.
            data_batch (optional): Unused. Default: None.
            outputs (dict, optional): Unused. Default: None.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        from ...visualization import gates

        step = runner.iter + 1
        image, maps = gates.record_gates(_unwrapped(runner.model), self.sample)
        history = {**self.first, f'gate at iteration {step}': maps}
        for name in gates.choose_layers(maps, self.layers):
            layer_maps = {
                when: layers[name] for when, layers in history.items()
            }
            groups = maps[name].choose_groups(self.groups, self.number)
            for kind, figure in (
                ('sge', gates.gates_figure(image, layer_maps, name, groups)),
                (
                    'sge_similarity',
                    gates.similarity_figure(maps[name], name, groups),
                ),
            ):
                runner.visualizer.add_image(
                    f'{kind}_{name}', _pixels(figure), step
                )


def _unwrapped(model: Any) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _pixels(figure: 'Figure') -> np.ndarray:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
