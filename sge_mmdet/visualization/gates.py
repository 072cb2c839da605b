"""What SGE does to an image: its gates and similarities, as pictures."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
)

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mmdet.models.detectors import BaseDetector
from mmengine.dataset import pseudo_collate
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
        covered: How far the maps reach beyond the image, since a batch is
            padded: their height and width divided by the image's.
    """

    similarity: np.ndarray
    normalized: np.ndarray
    gate: np.ndarray
    before: np.ndarray
    after: np.ndarray
    covered: Tuple[float, float] = (1.0, 1.0)

    def choose_groups(
        self, wanted: Optional[Sequence[int]] = None, number: int = 4
    ) -> List[int]:
        """Return which groups to look at.

        Args:
            wanted (Sequence[int], optional): Default: None, those whose gates
                vary most over the image.
            number (int): How many of those. Default: 4.

        Raises:
            ValueError: If the layer has no such group.
        """
        if not wanted:
            variance = self.gate.var((1, 2))
            return np.argsort(-variance, kind='stable')[:number].tolist()
        if not 0 <= min(wanted) <= max(wanted) < len(self.gate):
            raise ValueError(
                f'The layer has the groups 0 to '
                f'{len(self.gate) - 1}, got '
                f'{", ".join(map(str, wanted))}'
            )
        return list(wanted)


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
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }
    if not layers:
        raise ValueError('The model has no SGE layer to look at')
    found: Dict[str, GateMaps] = {}

    def watch(name: str) -> Any:
        def record(
            layer: SpatialGroupEnhance, inputs: Tuple[Tensor], output: Tensor
        ) -> None:
            with torch.no_grad():
                found[name] = _gate_maps(layer, inputs[0][:1])

        return record

    handles = [
        layer.register_forward_hook(watch(name))
        for name, layer in layers.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def record_gates(
    model: BaseDetector, sample: Dict[str, Any]
) -> Tuple[np.ndarray, Dict[str, GateMaps]]:
    """Run a detector on one image and see what its SGE layers do to it.

    The model is left in the mode that it was in.

    Args:
        model (BaseDetector): Detector with SGE layers.
        sample (dict): What its test pipeline makes of an image.

    Returns:
        tuple[np.ndarray, dict[str, GateMaps]]: The image as the model gets
        it, RGB of shape (H, W, 3), and the layers' maps by name.

    Raises:
        ValueError: If the model has no SGE layer.
    """
    was_training = model.training
    model.eval()
    try:
        with recorded_gates(model) as found, torch.no_grad():
            (result,) = model.test_step(pseudo_collate([sample]))
    finally:
        model.train(was_training)
    pixels = sample['inputs'].permute(1, 2, 0).cpu().numpy()
    if getattr(model.data_preprocessor, '_channel_conversion', False):
        pixels = pixels[..., ::-1]
    # Some pipelines load pixels as floats, still from 0 to 255.
    pixels = pixels.clip(0, 255).astype(np.uint8)
    height, width = result.metainfo.get('batch_input_shape', pixels.shape[:2])
    covered = height / pixels.shape[0], width / pixels.shape[1]
    return pixels, {
        name: replace(maps, covered=covered) for name, maps in found.items()
    }


def choose_layers(
    names: Iterable[str], wanted: Optional[Sequence[str]] = None
) -> List[str]:
    """Return which SGE layers to look at.

    Args:
        names (Iterable[str]): Of all of them, in the model's order.
        wanted (Sequence[str], optional): Parts of names, such as "layer4" or
            "layer2.0.sge". Default: None, the last layer of each stage.

    Raises:
        ValueError: If no layer is named like that.
    """
    names = list(names)
    if not wanted:
        # backbone.layer1.0.sge and backbone.layer1.1.sge are of one stage.
        return list({name.rsplit('.', 2)[0]: name for name in names}.values())
    chosen = [name for name in names if any(part in name for part in wanted)]
    if not chosen:
        raise ValueError(
            f'No SGE layer is named like {", ".join(wanted)}; '
            f'there are {", ".join(names)}'
        )
    return chosen


def gates_figure(
    image: np.ndarray,
    maps: Mapping[str, GateMaps],
    title: str,
    groups: Optional[Sequence[int]] = None,
    number: int = 4,
) -> Figure:
    """Draw groups over an image: gates, and activation before and after SGE.

    Args:
        image (np.ndarray): RGB in [0, 255]; shape (H, W, 3).
        maps (Mapping[str, GateMaps]): Of one layer with one weights after
            another, such as "gate before training" and "gate after training".
            Each one's gates are drawn, and the activations of the last.
        title (str): Says which layer it is.
        groups (Sequence[int], optional): Which groups, a row each. Default:
            None, the most telling ones of the last maps.
        number (int): How many of those. Default: 4.

    Raises:
        ValueError: If the layer has no such group.
    """
    last = list(maps.values())[-1]
    groups = last.choose_groups(groups, number)
    columns = 3 + len(maps)
    figure = Figure(
        figsize=(3.1 * columns, 0.6 + 2.7 * len(groups)), layout='constrained'
    )
    figure.suptitle(title)
    figure.supxlabel(
        'gate: what a position of the group is multiplied by; '
        "activation: mean magnitude of the group's channels",
        fontsize=9,
    )
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
        # One scale for all gates, and one for both activations, so that what
        # changed and what the gate took away are seen.
        gates = {name: of.gate[group] for name, of in maps.items()}
        limits = (
            min(float(gate.min()) for gate in gates.values()),
            max(float(gate.max()) for gate in gates.values()),
        )
        for name, gate in gates.items():
            _draw_map(next(row), image, gate, last, name, limits, 'viridis')
        limits = (0, max(float(last.before[group].max()), 1e-12))
        _draw_map(
            next(row),
            image,
            last.before[group],
            last,
            'activation before SGE',
            limits,
            'magma',
        )
        _draw_map(
            next(row),
            image,
            last.after[group],
            last,
            'activation after SGE',
            limits,
            'magma',
        )
    return figure


def similarity_figure(
    maps: GateMaps,
    title: str,
    groups: Optional[Sequence[int]] = None,
    number: int = 4,
) -> Figure:
    """Draw how the similarity is spread, before and behind normalisation.

    Args:
        maps (GateMaps): Of a layer.
        title (str): Says which layer it is.
        groups (Sequence[int], optional): Which groups. Default: None, the
            most telling ones.
        number (int): How many of those. Default: 4.

    Raises:
        ValueError: If the layer has no such group.
    """
    figure = Figure(figsize=(10, 4), layout='constrained')
    figure.suptitle(title)
    for axis, values, name in zip(
        figure.subplots(1, 2),
        (maps.similarity, maps.normalized),
        ('similarity d, before normalisation', 't, after normalisation'),
    ):
        for group in maps.choose_groups(groups, number):
            axis.hist(
                values[group].ravel(),
                bins=60,
                histtype='step',
                label=f'group {group}',
            )
        axis.set(xlabel=name, ylabel='positions')
        axis.legend(fontsize=8)
    return figure


def _gate_maps(layer: SpatialGroupEnhance, x: Tensor) -> GateMaps:
    d, t, gate = gate_reference(
        x, layer.weight, layer.bias, layer.groups, layer.eps, layer.normalize
    )
    before = (
        x.unflatten(1, (layer.groups, -1))
        .to(gate.dtype)
        .abs()
        .mean(2, keepdim=True)
    )
    maps: List[Any] = [
        value[0, :, 0].float().cpu().numpy()
        for value in (d, t, gate, before, before * gate)
    ]
    return GateMaps(*maps)


def _draw_map(
    axis: Axes,
    image: np.ndarray,
    values: np.ndarray,
    maps: GateMaps,
    name: str,
    limits: Tuple[float, float],
    colours: str,
) -> None:
    height, width = image.shape[:2]
    axis.imshow(image.mean(-1), cmap='gray')
    shown = axis.imshow(
        values,
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        alpha=0.75,
        extent=(0, width * maps.covered[1], height * maps.covered[0], 0),
    )
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_title(
        f'{name}\n{values.min():.2f} to {values.max():.2f}', fontsize=9
    )
    axis.figure.colorbar(shown, ax=axis, shrink=0.8)
