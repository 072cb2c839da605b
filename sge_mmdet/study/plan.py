"""What a study trains: each config with each seed."""
import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Union

from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from ..runner import check_config
from ..utils import get_model, load_config, quiet_log

METRICS = ('CocoMetric', 'SmallObjectMetric')


@dataclass(frozen=True)
class StudyRun:
    """One config with one seed.

    Attributes:
        name: Of the config in tables.
        seed: Of the training.
        config: The config with the seed in it, as it is trained.
        work_dir: Where the training and its result are.
        truth: Ground truth of the test, in COCO's format.
        metric: What is compared, "bbox" or "segm".
    """

    name: str
    seed: int
    config: Path
    work_dir: Path
    truth: Path
    metric: str

    @property
    def detections(self) -> Path:
        """Path: result of the test. Where it exists, the run is done."""
        return self.work_dir / f'detections.{self.metric}.json'

    @property
    def is_done(self) -> bool:
        """bool: whether it has its result."""
        return self.detections.is_file()


def plan_study(configs: Sequence[Union[str, Path]],
               seeds: Sequence[int],
               work_dir: Union[str, Path],
               names: Optional[Sequence[str]] = None,
               options: Optional[Dict[str, Any]] = None,
               metric: str = 'bbox') -> List[StudyRun]:
    """Plan a study, and find out before it starts what could not run.

    Every model is built once on the CPU. The config of each run is written to
    ``<work_dir>/configs``, and compared with what is there, so that no result
    of another config is taken for one of this.

    Args:
        configs (Sequence[str or Path]): Configs with the same test data.
        seeds (Sequence[int]): Seeds to train each of them with.
        work_dir (str or Path): Where everything goes.
        names (Sequence[str], optional): Of the configs in tables. Default:
            None, their file names.
        options (dict, optional): Put into every config, as
            ``--cfg-options``. Default: None.
        metric (str): What is compared, "bbox" or "segm". Default: "bbox".

    Returns:
        list[StudyRun]: The runs, the first seed of every config first.

    Raises:
        FileNotFoundError: If a config or its data is not there.
        ValueError: If configs cannot be compared or built, or if the work
            directory holds runs of other configs.
    """
    paths = [Path(config) for config in configs]
    names = list(names or (path.stem for path in paths))
    for what, values in (('configs', paths), ('seeds', list(seeds)),
                         ('names', names)):
        if not values or len(set(values)) < len(values):
            raise ValueError(f'A study needs {what} that differ, got '
                             f'{", ".join(map(str, values)) or "none"}')
    stems = [path.stem for path in paths]
    if len(names) != len(paths) or len(set(stems)) < len(stems):
        raise ValueError(
            'A study needs one name a config, and configs whose file names '
            f'differ; got the names {", ".join(names)} for '
            f'{", ".join(map(str, paths))}')
    if ',' in str(work_dir):
        raise ValueError('MMEngine takes an option with a comma for a list; '
                         f'take a work directory without: {work_dir}')
    work_dir = Path(work_dir)
    register_all_modules()
    runs, texts = [], []
    for path, name in zip(paths, names):
        cfg = _prepare(path, options or {}, metric)
        randomness = cfg.pop('randomness', None) or {}
        try:
            text = cfg.pretty_text
        except Exception as error:
            # Of whatever the formatter says of source that is no Python.
            raise ValueError(f'{path} holds a value that no file can hold, '
                             f'such as a function: {error}') from error
        for seed in seeds:
            runs.append(StudyRun(
                name, seed, work_dir / 'configs' / f'{path.stem}_{seed}.py',
                work_dir / path.stem / f'seed_{seed}',
                Path(cfg.test_evaluator.ann_file), metric))
            texts.append(f'{text}randomness = '
                         f'{dict(randomness, seed=seed)!r}\n')
    _check_truth(runs)
    for run, text in zip(runs, texts):
        _check_config(run.config, text)
    for run, text in zip(runs, texts):
        run.config.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: half a config would be another one.
        draft = run.config.with_suffix('.part')
        draft.write_text(text)
        os.replace(draft, run.config)
    return sorted(runs, key=lambda run: list(seeds).index(run.seed))


def _prepare(path: Path, options: Dict[str, Any], metric: str) -> Config:
    """Return a config that is known to build and to be tested as a study."""
    cfg = load_config(path, options)
    evaluator = cfg.get('test_evaluator')
    kind = evaluator.get('type') if isinstance(evaluator, dict) else evaluator
    if kind not in METRICS or not isinstance(evaluator.get('ann_file'), str):
        raise ValueError(f'{path}: a study tests with annotations in COCO\'s '
                         f'format, a test_evaluator of type '
                         f'{" or ".join(METRICS)} with ann_file; got {kind}')
    found = evaluator.get('metric', 'bbox')
    if metric not in (found if isinstance(found, (list, tuple)) else [found]):
        raise ValueError(f'{path}: test_evaluator.metric is {found}, without '
                         f'{metric}, which the study compares')
    cfg.test_evaluator.type = 'SmallObjectMetric'
    imports = dict(cfg.get('custom_imports') or dict(imports=[]))
    if 'sge_mmdet' not in imports['imports']:
        imports['imports'] = [*imports['imports'], 'sge_mmdet']
    cfg.custom_imports = imports
    if not isinstance(cfg.get('randomness') or {}, dict):
        raise ValueError(f'{path}: randomness is a dict such as dict(seed=0), '
                         f'got {cfg.randomness!r}')
    check_config(cfg, ['train', 'test'])
    model = get_model(cfg)
    try:
        with quiet_log():
            MODELS.build(model)
    except Exception as error:
        # A model's constructor answers bad options with any type of error.
        raise ValueError(f'{path}: {error}') from error
    return cfg


def _check_truth(runs: Sequence[StudyRun]) -> None:
    truths = {run.truth: run.name for run in runs}
    if len(truths) > 1:
        raise ValueError(
            'Only results of the same test data can be compared; got ' +
            ', '.join(f'{truth} ({name})' for truth, name in truths.items()))


def _check_config(path: Path, text: str) -> None:
    """Raise if a run of the same name was begun with another config."""
    if not path.is_file() or path.read_text() == text:
        return
    changes = [line for line in difflib.ndiff(
        path.read_text().splitlines(), text.splitlines())
        if line[0] in '-+']
    raise ValueError(
        f'{path} is of a study with another config (-, then; +, now):\n'
        + '\n'.join(changes[:8])
        + '\nTake another work directory, or remove it to train again')
