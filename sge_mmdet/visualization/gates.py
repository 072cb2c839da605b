"""Plots of the gates and similarities of SGE on an image."""

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
    """Activations of an SGE layer on an image; all maps have shape (G, H, W).

    Attributes:
        similarity: Similarity d of each position, before normalisation.
        normalized: Normalised similarity t.
        gate: Factor of each position, in (0, 1).
        before: Mean magnitude of each group's channels before the gate.
        after: Mean magnitude of each group's channels after the gate.
        covered: Height and width of the padded batch, divided by those of
            the image.
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
        """Return the groups to draw.

        Args:
            wanted (Sequence[int], optional): Indices of groups. Default:
                None, the groups whose gates vary most over the image.
            number (int): Number of groups if ``wanted`` is None. Default: 4.

        Raises:
            ValueError: If the layer has no such group.
        """
        if not wanted:
            variance = self.gate.var((1, 2))
            return np.argsort(-variance, kind='stable')[:number].tolist()
        if not 0 <= min(wanted) <= max(wanted) < len(self.gate):
            raise ValueError(
                f'groups: expected indices from 0 to {len(self.gate) - 1}, '
                f'got {", ".join(map(str, wanted))}'
            )
        return list(wanted)


@contextmanager
def recorded_gates(model: nn.Module) -> Iterator[Dict[str, GateMaps]]:
    """Record the maps of a model's SGE layers for the first image of a batch.

    Args:
        model (nn.Module): Model with SGE layers.

    Yields:
        dict[str, GateMaps]: Maps by name of the layer; filled when the model
        runs.

    Raises:
        ValueError: If the model has no SGE layer.
    """
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SpatialGroupEnhance)
    }
    if not layers:
        raise ValueError(
            'The model has no SGE layer; give a config with SGE, such as one '
            'that "sge-mmdet add-sge" writes'
        )
    found: Dict[str, GateMaps] = {}

    def make_hook(name: str) -> Any:
        def record(
            layer: SpatialGroupEnhance, inputs: Tuple[Tensor], output: Tensor
        ) -> None:
            with torch.no_grad():
                found[name] = _gate_maps(layer, inputs[0][:1])

        return record

    handles = [
        layer.register_forward_hook(make_hook(name))
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
    """Run a detector on one image and return the maps of its SGE layers.

    The training mode of the model is restored afterwards.

    Args:
        model (BaseDetector): Detector with SGE layers.
        sample (dict): Output of its test pipeline for an image.

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
    """Return the names of the SGE layers to draw.

    Args:
        names (Iterable[str]): Names of all SGE layers, in the model's order.
        wanted (Sequence[str], optional): Parts of names, such as "layer4" or
            "layer2.0.sge". Default: None, the last layer of each stage.

    Raises:
        ValueError: If no name contains one of these parts.
    """
    names = list(names)
    if not wanted:
        # backbone.layer1.0.sge and backbone.layer1.1.sge share a stage.
        return list({name.rsplit('.', 2)[0]: name for name in names}.values())
    chosen = [name for name in names if any(part in name for part in wanted)]
    if not chosen:
        raise ValueError(
            f'layers: expected parts of the names {", ".join(names)}, got '
            f'{", ".join(wanted)}'
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

    All gates share one scale of colours, so that equal gates look alike. The
    activations of a group have their own.

    Args:
        image (np.ndarray): RGB image in [0, 255] of shape (H, W, 3).
        maps (Mapping[str, GateMaps]): Maps of one layer with different
            weights, by caption, such as "gate before training" and "gate
            after training". All gates are drawn, and the activations of the
            last.
        title (str): Title of the figure, such as the name of the layer.
        groups (Sequence[int], optional): Indices of groups, one per row.
            Default: None, the groups whose last gates vary most.
        number (int): Number of groups if ``groups`` is None. Default: 4.

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
        "gate: factor of each position of the group's channels; "
        "activation: mean magnitude of the group's channels",
        fontsize=9,
    )
    axes = figure.subplots(len(groups), columns, squeeze=False)
    drawn = np.stack([of.gate[groups] for of in maps.values()])
    limits = float(drawn.min()), float(drawn.max())
    for group, row in zip(groups, axes):
        _draw_group(row, image, maps, group, limits)
    gate_axes = axes[:, 1:-2]
    figure.colorbar(
        gate_axes[0, 0].images[-1],
        ax=gate_axes,
        location='bottom',
        label='gate, one scale for all groups',
        shrink=0.8,
        aspect=40,
    )
    return figure


def _draw_group(
    axes: Sequence[Axes],
    image: np.ndarray,
    maps: Mapping[str, GateMaps],
    group: int,
    gate_limits: Tuple[float, float],
) -> None:
    """Draw the image, the gates and both activations of a group in a row."""
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].imshow(image)
    axes[0].set_ylabel(f'group {group}')
    axes[0].set_title('image', fontsize=9)
    last = list(maps.values())[-1]
    gates = {name: of.gate[group] for name, of in maps.items()}
    activations = {
        'activation before SGE': last.before[group],
        'activation after SGE': last.after[group],
    }
    # Both activations share one scale, so that they can be compared.
    activation_limits = (0.0, float(last.before[group].max()) or 1.0)
    rest = iter(axes[1:])
    for drawn, limits, colours in (
        (gates, gate_limits, 'viridis'),
        (activations, activation_limits, 'magma'),
    ):
        for name, values in drawn.items():
            _draw_map(next(rest), image, values, last, name, limits, colours)
    # Numbers of equal width, whichever the layout makes room for.
    digits = max(2, 1 - int(np.floor(np.log10(activation_limits[1]))))
    axes[0].figure.colorbar(
        axes[-1].images[-1], ax=axes[-1], shrink=0.8, format=f'%.{digits}f'
    )


def similarity_figure(
    maps: GateMaps,
    title: str,
    groups: Optional[Sequence[int]] = None,
    number: int = 4,
) -> Figure:
    """Draw histograms of the similarity, before and after normalisation.

    Args:
        maps (GateMaps): Maps of a layer.
        title (str): Title of the figure, such as the name of the layer.
        groups (Sequence[int], optional): Indices of groups. Default: None,
            the groups whose gates vary most.
        number (int): Number of groups if ``groups`` is None. Default: 4.

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
    if layer.factor is not None:
        x = x * layer.factor.view(1, -1, 1, 1)
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
    axis.imshow(
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
