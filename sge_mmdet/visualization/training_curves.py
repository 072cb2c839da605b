"""Loss and average precision over training, from MMEngine's logs."""

import json
from pathlib import Path
from typing import Dict, Iterable, Union

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..utils import RENEWING, Writer
from ..utils.figures import save_figure

LOSSES = {
    'loss': 'total loss',
    'loss_rpn_cls': 'RPN classes',
    'loss_rpn_bbox': 'RPN boxes',
    'loss_cls': 'RoI classes',
    'loss_bbox': 'RoI boxes',
}
PRECISIONS = {
    'coco/bbox_mAP': 'AP',
    'coco/bbox_mAP_50': 'AP50',
    'coco/bbox_mAP_s': 'AP_small',
    'coco/bbox_mAP_m': 'AP_medium',
    'coco/bbox_mAP_l': 'AP_large',
}


def read_scalars(work_dir: Union[str, Path]) -> Dict[str, Dict[int, float]]:
    """Read the values that MMEngine logged in a work directory.

    Args:
        work_dir (str or Path): Work directory of a training run. If the logs
            of a resumed run overlap, the later values are used.

    Returns:
        dict[str, dict[int, float]]: Values of each key by step.

    Raises:
        FileNotFoundError: If the work directory has no log.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(
            f'{work_dir} holds no log of MMEngine (*/vis_data/scalars.json); '
            'name the work directory of a training run'
        )
    scalars: Dict[str, Dict[int, float]] = {}
    for file in files:
        for line in file.read_text().splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                # The run was stopped while writing this line.
                continue
            for key, value in values.items():
                # Training by iterations logs every validation at step 0,
                # unless log_metric_by_epoch=False.
                if 'step' in values and values['step'] > 0:
                    scalars.setdefault(key, {})[values['step']] = value
    return scalars


def draw_training_curves(
    work_dir: Union[str, Path],
    out_file: Union[str, Path],
    writer: Writer = RENEWING,
) -> None:
    """Draw the losses and the validation's AP over the steps of a run.

    Args:
        work_dir (str or Path): Work directory of the run.
        out_file (str or Path): Picture to write.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        FileNotFoundError: If there is no log.
    """
    save_figure(training_curves(read_scalars(work_dir)), out_file, writer)


def training_curves(scalars: Dict[str, Dict[int, float]]) -> Figure:
    """Return the figure of :func:`draw_training_curves`.

    Args:
        scalars (dict[str, dict[int, float]]): Values of each key by step.
    """
    figure = Figure(figsize=(12, 4.5), layout='constrained')
    for axis, keys, title in zip(
        figure.subplots(1, 2),
        (LOSSES, PRECISIONS),
        ('Training loss', 'Validation AP'),
    ):
        for key, name in keys.items():
            # MMDetection logs -1 if there is no such object.
            points = sorted(
                point
                for point in scalars.get(key, {}).items()
                if point[1] >= 0
            )
            if points:
                axis.plot(
                    *zip(*points),
                    label=name,
                    marker='o' if keys is PRECISIONS else None,
                )
        finish_curves(axis, title, unit_of_steps(scalars, keys))
    return figure


def unit_of_steps(
    scalars: Dict[str, Dict[int, float]], keys: Iterable[str]
) -> str:
    """Return what the steps of values count, "iteration" or "epoch".

    MMEngine logs losses by iterations, and the validation by either.

    Args:
        scalars (dict[str, dict[int, float]]): Values of each key by step.
        keys (Iterable[str]): Keys of the values.
    """
    # A run by iterations logs no epoch, and steps beyond the last epoch are
    # iterations.
    epochs = max(scalars.get('epoch', {}).values(), default=0)
    last = max(
        (max(scalars[key]) for key in keys if key in scalars), default=0
    )
    return 'epoch' if 0 < last <= epochs else 'iteration'


def finish_curves(axis: Axes, title: str, unit: str) -> None:
    """Add title, legend and grid to curves over training.

    Args:
        axis (Axes): Axis with or without curves.
        title (str): Title of the axis.
        unit (str): Unit of the steps, "iteration" or "epoch".
    """
    axis.set(title=title, xlabel=unit)
    axis.xaxis.set_major_locator(
        MaxNLocator('auto', steps=[1, 2, 5, 10], integer=True)
    )
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend()
    else:
        axis.text(
            0.5, 0.5, 'nothing logged', ha='center', transform=axis.transAxes
        )
