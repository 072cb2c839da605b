"""Small copies of a study's results, which can be committed and reported on.

An archive has the layout of a study's work directory and holds what a report
needs: the test's annotations, and each run's detections, curves and machine.
Its files are compressed, and detections are rounded to a tenth of a pixel and
four digits of the score. There are no weights in it.
"""

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

from ..utils import Writer, load_json
from ..visualization.training_curves import read_scalars
from .machines import FILE as MACHINES
from .machines import read_machines
from .plan import StudyRun
from .plots import CURVES

ANNOTATIONS = 'annotations.json.gz'
INDEX = 'runs.json'


def archive_runs(
    runs: Sequence[StudyRun], folder: Union[str, Path], writer: Writer
) -> int:
    """Add the runs that are done to an archive.

    Args:
        runs (Sequence[StudyRun]): All runs of a study, the first config's
            first.
        folder (str or Path): Folder of the archive. Runs that it has are left
            as they are.
        writer (Writer): Writer of the files.

    Returns:
        int: Number of runs that were added.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If the archive is that of another test or has a config
            under another name, or the study compares masks.
    """
    folder = Path(folder)
    if runs[0].metric != 'bbox':
        raise ValueError(
            'An archive of a study keeps boxes and no masks, and this study '
            f'compares {runs[0].metric}; leave out --archive'
        )
    _archive_annotations(runs[0].ground_truth, folder, writer)
    index = _read_index(folder)
    index.update(metric=runs[0].metric, classes=runs[0].classes)
    # The first config is the baseline, even if none of its runs is done.
    configs = index.setdefault('configs', {})
    archived = index.setdefault('runs', [])
    added = 0
    for run in runs:
        config = run.work_dir.parent.name
        if configs.setdefault(config, run.name) != run.name:
            raise ValueError(
                f'{folder} has {config} under the name {configs[config]!r}, '
                f'got the name {run.name!r}; use the same --names, or name '
                'another folder'
            )
        entry = dict(config=config, seed=run.seed)
        if not run.is_done or entry in archived:
            continue
        _archive_run(run, folder / config / f'seed_{run.seed}', writer)
        archived.append(entry)
        added += 1
    # What was in it still is: in a clone of a repository, too, it is added to.
    content = json.dumps(index, indent=1)
    replace(writer, overwrite=True).write(folder / INDEX, content)
    return added


def read_archive(folder: Union[str, Path]) -> List[StudyRun]:
    """Return the runs of an archive, as :func:`report_figures` takes them.

    Args:
        folder (str or Path): Folder of :func:`archive_runs`.

    Raises:
        FileNotFoundError: If it is no archive, or its annotations are
            missing.
        ValueError: If its list of runs is damaged, or has no run of the first
            config.
    """
    folder = Path(folder).absolute()
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(
            f'{folder} is no archive of a study: it has no {INDEX}; '
            '`tools/run_study.py CONFIGS --archive FOLDER` makes one'
        )
    annotations = folder / ANNOTATIONS
    if not annotations.is_file():
        raise FileNotFoundError(
            f'{folder} lacks the annotations of the test images, which not '
            'every data set lets others pass on; bring them from the data '
            f'set: gzip -c TEST_ANNOTATIONS.json > {annotations}'
        )
    index = _read_index(folder)
    classes = index.get('classes')
    try:
        configs = index['configs']
        order = list(configs)
        runs = [
            StudyRun(
                configs[entry['config']],
                entry['seed'],
                folder / f'{entry["config"]}.py',
                folder / entry['config'] / f'seed_{entry["seed"]}',
                annotations,
                index['metric'],
                tuple(classes) if classes else None,
            )
            for entry in sorted(
                index['runs'],
                key=lambda entry: (
                    order.index(entry['config']),
                    entry['seed'],
                ),
            )
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{folder / INDEX} is damaged: {error!r}; make the archive again'
        ) from error
    if not runs or runs[0].name != configs[order[0]]:
        raise ValueError(
            f'{folder} has no results yet of its first config, which the '
            'others are compared with; add them with --archive'
        )
    return runs


def _read_index(folder: Path) -> Dict[str, Any]:
    path = folder / INDEX
    content = load_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f'{path} is no list of runs: expected a JSON object')
    return content


def _archive_annotations(
    ground_truth: Path, folder: Path, writer: Writer
) -> None:
    """Copy the annotations, or raise if the archive has others."""
    kept = _without_outlines(load_json(ground_truth))
    path = folder / ANNOTATIONS
    if not path.is_file():
        writer.write(path, _compress(kept))
    elif _without_outlines(load_json(path)) != kept:
        raise ValueError(
            f'{folder} is the archive of a study with other test annotations '
            f'than {ground_truth}; name another folder'
        )


def _without_outlines(content: Dict[str, Any]) -> Dict[str, Any]:
    """Return what annotations of boxes need."""
    return dict(
        images=content['images'],
        annotations=[
            {key: each[key] for key in each if key != 'segmentation'}
            for each in content['annotations']
        ],
        categories=content['categories'],
    )


def _archive_run(run: StudyRun, folder: Path, writer: Writer) -> None:
    """Write the detections and the curves of a run."""
    detections = [
        dict(
            image_id=each['image_id'],
            category_id=each['category_id'],
            bbox=[round(value, 1) for value in each['bbox']],
            score=round(each['score'], 4),
        )
        for each in load_json(run.detections)
    ]
    writer.write(
        folder / f'detections.{run.metric}.json.gz', _compress(detections)
    )
    machines = read_machines(run.work_dir)
    if machines:
        writer.write(folder / MACHINES, json.dumps(machines, indent=1))
    curves = _curves(run)
    if curves:
        writer.write(folder / 'log' / 'vis_data' / 'scalars.json', curves)


def _curves(run: StudyRun) -> str:
    """Return the drawn quantities of a run's log, in the log's format."""
    try:
        scalars = read_scalars(run.work_dir)
    except FileNotFoundError:
        return ''
    steps: Dict[int, Dict[str, float]] = {}
    for key in (name.format(run.metric) for name in CURVES):
        for step, value in scalars.get(key, {}).items():
            if math.isfinite(value):
                steps.setdefault(step, {})[key] = round(value, 4)
    return ''.join(
        json.dumps({**values, 'step': step}) + '\n'
        for step, values in sorted(steps.items())
    )


def _compress(content: object) -> bytes:
    text = json.dumps(content, separators=(',', ':'))
    # Without the time, equal content gives equal files.
    return gzip.compress(text.encode(), mtime=0)
