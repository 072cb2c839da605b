"""What SGE does to an image: its gates and similarities, as pictures."""
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from ..models import SpatialGroupEnhance
from ..ops import gate_reference


@dataclass(frozen=True)
class GateMaps:
    """What one SGE layer did to an image; every map of shape (G, H, W).

    Attributes:
        similarity: d, before its normalisation.
        normalized: t, behind it.
        gate: What the groups were scaled by, in (0, 1).
        before: Mean magnitude of each group's channels before the gate.
        after: The same behind it.
    """

    similarity: np.ndarray
    normalized: np.ndarray
    gate: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def telling_groups(self, number: int) -> List[int]:
        """Return the groups whose gates vary most over the image."""
        variance = self.gate.var((1, 2))
        return np.argsort(-variance, kind='stable')[:number].tolist()


@contextmanager
def recorded_gates(model: nn.Module) -> Iterator[Dict[str, GateMaps]]:
    """Record what a model's SGE layers do to the first image of a batch.

    Args:
        model (nn.Module): Model that has them.

    Yields:
        dict[str, GateMaps]: By name of the layer, filled as the model runs.

    Raises:
        ValueError: If the model has no SGE layer.
    """
    layers = {name: module for name, module in model.named_modules()
              if isinstance(module, SpatialGroupEnhance)}
    if not layers:
        raise ValueError('The model has no SGE layer to look at')
    found: Dict[str, GateMaps] = {}

    def watch(name: str) -> Any:
        def record(layer: SpatialGroupEnhance, inputs: Tuple[Tensor],
                   output: Tensor) -> None:
            with torch.no_grad():
                found[name] = _gate_maps(layer, inputs[0][:1])
        return record

    handles = [layer.register_forward_hook(watch(name))
               for name, layer in layers.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def draw_gates(image: np.ndarray, maps: GateMaps, groups: Sequence[int],
               title: str, out_file: Union[str, Path],
               before_training: Optional[GateMaps] = None) -> None:
    """Draw groups over an image: gate, and activation before and behind it.

    Args:
        image (np.ndarray): RGB in [0, 255]; shape (H, W, 3).
        maps (GateMaps): Of the layer.
        groups (Sequence[int]): Which groups, a row each.
        title (str): Says which layer it is.
        out_file (str or Path): Picture to write.
        before_training (GateMaps, optional): Of the same layer with other
            weights, whose gates are drawn as well. Default: None.
    """
    columns = 4 if before_training is None else 5
    figure = Figure(figsize=(3.1 * columns, 0.6 + 2.7 * len(groups)),
                    layout='constrained')
    figure.suptitle(title)
    axes = figure.subplots(len(groups), columns, squeeze=False)
    for group, row in zip(groups, axes):
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
        row = iter(row)
        axis = next(row)
        axis.imshow(image)
        axis.set_ylabel(f'group {group}')
        axis.set_title('image', fontsize=9)
        gates = {'gate': maps.gate[group]} if before_training is None else {
            'gate before training': before_training.gate[group],
            'gate after training': maps.gate[group]}
        limits = (min(float(gate.min()) for gate in gates.values()),
                  max(float(gate.max()) for gate in gates.values()))
        for name, gate in gates.items():
            _draw_map(next(row), image, gate, name, limits, 'viridis')
        # Both on one scale, so that what the gate took away is seen.
        limits = (0, max(float(maps.before[group].max()), 1e-12))
        _draw_map(next(row), image, maps.before[group],
                  'activation before SGE', limits, 'magma')
        _draw_map(next(row), image, maps.after[group],
                  'activation after SGE', limits, 'magma')
    figure.savefig(out_file, dpi=100)


def draw_similarity_histogram(maps: GateMaps, groups: Sequence[int],
                              title: str,
                              out_file: Union[str, Path]) -> None:
    """Draw how the similarity is spread, before and behind normalisation.

    Args:
        maps (GateMaps): Of a layer.
        groups (Sequence[int]): Which groups.
        title (str): Says which layer it is.
        out_file (str or Path): Picture to write.
    """
    figure = Figure(figsize=(10, 4), layout='constrained')
    figure.suptitle(title)
    for axis, values, name in zip(
            figure.subplots(1, 2), (maps.similarity, maps.normalized),
            ('similarity d, before normalisation',
             't, after normalisation')):
        for group in groups:
            axis.hist(values[group].ravel(), bins=60, histtype='step',
                      label=f'group {group}')
        axis.set(xlabel=name, ylabel='positions')
        axis.legend(fontsize=8)
    figure.savefig(out_file, dpi=100)


def _gate_maps(layer: SpatialGroupEnhance, x: Tensor) -> GateMaps:
    d, t, gate = gate_reference(x, layer.weight, layer.bias, layer.groups,
                                layer.eps, layer.normalize)
    before = x.unflatten(1, (layer.groups, -1)).to(gate.dtype).abs().mean(
        2, keepdim=True)
    return GateMaps(*(value[0, :, 0].float().cpu().numpy()
                      for value in (d, t, gate, before, before * gate)))


def _draw_map(axis: Axes, image: np.ndarray, values: np.ndarray, name: str,
              limits: Tuple[float, float], colours: str) -> None:
    height, width = image.shape[:2]
    axis.imshow(image.mean(-1), cmap='gray')
    shown = axis.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1],
                        alpha=0.75, extent=(0, width, height, 0))
    axis.set_title(f'{name} ({values.min():.2f} to {values.max():.2f})',
                   fontsize=9)
    axis.figure.colorbar(shown, ax=axis, shrink=0.8)
