"""Plan of a study: one run for each config and seed."""

import difflib
import hashlib
import io
import tempfile
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from mmdet.utils import register_all_modules
from mmengine.config import Config

from ..engine import check_config
from ..engine.class_names import config_classes
from ..evaluation import read_ground_truth
from ..utils import Writer, build_model, load_config, quiet_log

METRICS = ('CocoMetric', 'SmallObjectMetric')
# Start of the line in a run's config that names the file of its result.
# Configs that differ only in this line count as the same.
OUTPUT = 'test_evaluator.update('
# Name of a result while the test is still writing it.
UNFINISHED = 'unfinished'


@dataclass(frozen=True)
class StudyRun:
    """One config with one seed.

    Attributes:
        name: Name of the config in tables.
        seed: Seed of the run.
        config: Config with the seed, as it is trained.
        work_dir: Work directory of the run.
        ground_truth: Ground truth of the test, in COCO's format.
        metric: Metric to compare, "bbox" or "segm".
        classes: Tested classes; None for all classes of the ground truth.
    """

    name: str
    seed: int
    config: Path
    work_dir: Path
    ground_truth: Path
    metric: str
    classes: Optional[Tuple[str, ...]] = None

    @property
    def detections(self) -> Path:
        """Path: Result of the test; a run that has it is done."""
        name = f'detections.{self.metric}.json'
        archived = self.work_dir / f'{name}.gz'
        return archived if archived.is_file() else self.work_dir / name

    @property
    def is_done(self) -> bool:
        """bool: Whether the run has its result."""
        return self.detections.is_file()


def plan_study(
    configs: Sequence[Union[str, Path]],
    seeds: Sequence[int],
    work_dir: Union[str, Path],
    names: Optional[Sequence[str]] = None,
    options: Optional[Dict[str, Any]] = None,
    metric: str = 'bbox',
    overwrite: bool = False,
    same_start: bool = False,
) -> List[StudyRun]:
    """Plan a study and check that every run can start.

    Every model is built once on the CPU, and the test's annotations are read.
    The config of each run is written to ``<work_dir>/configs``. If a run has
    been started before, its config and its test annotations must be the same
    as then, so that an old result is never reported for a new config.

    Args:
        configs (Sequence[str or Path]): Configs with the same test data.
        seeds (Sequence[int]): Seeds of the runs of each config.
        work_dir (str or Path): Work directory of the study.
        names (Sequence[str], optional): Names of the configs in tables.
            Default: None, their file names.
        options (dict, optional): Values to set in every config, as with
            ``--cfg-options``. Default: None.
        metric (str): Metric to compare, "bbox" or "segm". Default: "bbox".
        overwrite (bool): Whether a run's config may replace a file that this
            package did not write. Default: False.
        same_start (bool): Whether all configs start with weights of the
            first one's model, where names and shapes agree
            (``SharedStartHook``). Default: False.

    Returns:
        list[StudyRun]: Runs, sorted by seed and then in the order of configs.

    Raises:
        FileNotFoundError: If a config or its data does not exist.
        OSError: If a run's config cannot be written.
        ValueError: If configs cannot be compared or built, or if the work
            directory has runs of other configs.
    """
    paths = [Path(config) for config in configs]
    names = list(names or (path.stem for path in paths))
    _check_distinct(paths, seeds, names)
    work_dir = Path(work_dir).absolute()
    register_all_modules()
    texts: Dict[StudyRun, str] = {}
    start: Optional[dict] = None
    for path, name in zip(paths, names):
        cfg = _prepare(path, options or {}, metric)
        if same_start:
            start = start or dict(
                type='SharedStartHook',
                model=cfg.model.to_dict(),
                load_from=cfg.get('load_from'),
            )
            cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), start]
        texts.update(_runs_of_config(cfg, path, name, seeds, work_dir, metric))
    runs = list(texts)
    _check_same_test(runs)
    # All runs share the annotations, so they are read once.
    digest = _read_annotations(runs[0], paths[0])
    for run in runs:
        texts[run] += f'# Test annotations: sha256 {digest}\n'
        _check_begun(run, texts[run])
    for run in runs:
        # The config of a run that was begun has the same content.
        replaces = overwrite or run.work_dir.is_dir()
        Writer(replaces, paths, renews=True).write(run.config, texts[run])
    return sorted(runs, key=lambda run: list(seeds).index(run.seed))


def _check_distinct(
    paths: Sequence[Path], seeds: Sequence[int], names: Sequence[str]
) -> None:
    """Raise unless configs, seeds and names tell the runs apart."""
    named: Dict[str, Sequence[Any]] = dict(
        configs=paths, seeds=seeds, names=names
    )
    for what, values in named.items():
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f'{what}: expected at least one, and each only once, got '
                f'{", ".join(map(str, values)) or "none"}'
            )
    stems = [path.stem for path in paths]
    if len(names) != len(paths) or len(set(stems)) < len(stems):
        raise ValueError(
            'Expected one name for each config, and configs with different '
            f'file names, got the names {", ".join(names)} for the configs '
            f'{", ".join(map(str, paths))}'
        )


def _prepare(path: Path, options: Dict[str, Any], metric: str) -> Config:
    """Return a config that can be built and tested as a study needs it."""
    cfg = load_config(path, options)
    evaluator = _find_evaluator(cfg, path, metric)
    cfg.test_evaluator = dict(evaluator, type='SmallObjectMetric')
    imports = dict(cfg.get('custom_imports') or dict(imports=[]))
    modules = imports['imports']
    modules = [modules] if isinstance(modules, str) else list(modules)
    if 'sge_mmdet' not in modules:
        modules.append('sge_mmdet')
    cfg.custom_imports = dict(imports, imports=modules)
    if not isinstance(cfg.get('randomness') or {}, dict):
        raise ValueError(
            f'{path}: expected randomness as a dict such as dict(seed=0), '
            f'got {cfg.randomness!r}'
        )
    check_config(cfg, ['train', 'val', 'test'])
    with quiet_log():
        build_model(cfg)
    _warn_of_batch_size(cfg, path)
    return cfg


def _runs_of_config(
    cfg: Config,
    path: Path,
    name: str,
    seeds: Sequence[int],
    work_dir: Path,
    metric: str,
) -> Dict[StudyRun, str]:
    """Return a run for each seed, with the text of its config."""
    ground_truth, classes = _read_test_data(cfg, path)
    randomness = cfg.pop('randomness', None) or {}
    text = _as_text(cfg, path)
    texts = {}
    for seed in seeds:
        run = StudyRun(
            name,
            seed,
            work_dir / 'configs' / f'{path.stem}_{seed}.py',
            work_dir / path.stem / f'seed_{seed}',
            ground_truth,
            metric,
            classes,
        )
        texts[run] = (
            f'{text}randomness = {dict(randomness, seed=seed)!r}\n'
            f'{OUTPUT}outfile_prefix={str(run.work_dir / UNFINISHED)!r})\n'
        )
    return texts


def _find_evaluator(cfg: Config, path: Path, metric: str) -> dict:
    """Return the config of the one evaluator of a config's test."""
    evaluator = cfg.get('test_evaluator')
    if isinstance(evaluator, (list, tuple)) and len(evaluator) == 1:
        evaluator = evaluator[0]
    kind = evaluator.get('type') if isinstance(evaluator, dict) else evaluator
    kind = str(getattr(kind, '__name__', kind)).rpartition('.')[2]
    if kind not in METRICS or not isinstance(evaluator.get('ann_file'), str):
        raise ValueError(
            f'{path}: expected one test_evaluator of type '
            f'{" or ".join(METRICS)} whose ann_file names annotations in '
            f"COCO's format, got {evaluator}"
        )
    metrics = evaluator.get('metric', 'bbox')
    if not isinstance(metrics, (list, tuple)):
        metrics = [metrics]
    if metric not in metrics:
        raise ValueError(
            f'{path}: expected {metric} in test_evaluator.metric, since the '
            f'study compares it, got {", ".join(map(str, metrics))}; set '
            'test_evaluator.metric with --cfg-options, or name another '
            '--metric'
        )
    return evaluator


def _read_test_data(
    cfg: Config, path: Path
) -> Tuple[Path, Optional[Tuple[str, ...]]]:
    """Return the ground truth of a config's test and the tested classes."""
    ground_truth = Path(cfg.test_evaluator.ann_file).absolute()
    return ground_truth, config_classes(cfg)


def _read_annotations(run: StudyRun, path: Path) -> str:
    """Return the SHA-256 hash of the test's annotations; raise if invalid."""
    try:
        read_ground_truth(run.ground_truth, run.classes)
    except (OSError, ValueError) as error:
        raise ValueError(
            f'{path}: test_evaluator.ann_file: {error}'
        ) from error
    return hashlib.sha256(run.ground_truth.read_bytes()).hexdigest()


def _warn_of_batch_size(cfg: Config, path: Path) -> None:
    """Warn if a learning rate is meant for another batch size."""
    scaling = cfg.get('auto_scale_lr') or {}
    base = scaling.get('base_batch_size')
    batch = (cfg.get('train_dataloader') or {}).get('batch_size')
    if base and batch and base != batch and not scaling.get('enable'):
        warnings.warn(
            f'{path}: the learning rate is meant for batches of {base} '
            f'images, and each run of the study has batches of {batch}; '
            '--cfg-options auto_scale_lr.enable=True scales it',
            stacklevel=4,
        )


def _as_text(cfg: Config, path: Path) -> str:
    """Return an equal config as the text of a Python file.

    Raises:
        ValueError: If a value cannot be written as text.
    """
    try:
        text = _spell_floats(cfg.pretty_text)
    except Exception as error:
        # The formatter raises various errors. That of MMEngine has the whole
        # config after its first line.
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'{path} contains a value that cannot be written as text, such as '
            f'a function; write it as a name or a number: {reason}'
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder, 'config.py')
        Writer().write(copied, text)
        try:
            same = _spell_floats(Config.fromfile(copied).pretty_text) == text
        except Exception as error:
            raise ValueError(
                f'{path}: a study writes the config as plain text, and this '
                f'text cannot be loaded: {error}'
            ) from error
    if not same:
        raise ValueError(
            f'{path}: a study writes the config as plain text, and this text '
            'differs from the config; write the config without objects and '
            'functions'
        )
    return text


def _spell_floats(text: str) -> str:
    """Replace ``inf`` and ``nan`` by calls of ``float``, as Python needs."""
    lines = text.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for token in reversed(tokens):
        if token.type == tokenize.NAME and token.string in ('inf', 'nan'):
            (row, begin), (_, end) = token.start, token.end
            line = lines[row - 1]
            lines[row - 1] = (
                f"{line[:begin]}float('{token.string}'){line[end:]}"
            )
    return ''.join(lines)


def _check_same_test(runs: Sequence[StudyRun]) -> None:
    tests = {(run.ground_truth, run.classes): run for run in runs}
    if len(tests) > 1:
        raise ValueError(
            'Expected configs with the same test annotations and classes, got '
            + ', '.join(
                f'{run.ground_truth} with {len(run.classes or ())} classes '
                f'({run.name})'
                for run in tests.values()
            )
        )


def _check_begun(run: StudyRun, text: str) -> None:
    """Raise if a run was started with another config or an unknown one."""
    if not run.work_dir.is_dir():
        return
    previous = run.config.read_text() if run.config.is_file() else ''
    then, now = (
        [line for line in version.splitlines() if not line.startswith(OUTPUT)]
        for version in (previous, text)
    )
    changes = [line for line in difflib.ndiff(then, now) if line[0] in '-+']
    if changes:
        raise ValueError(
            f'{run.work_dir} has a run of another config or of other test '
            'annotations (-: then, +: now):\n'
            + '\n'.join(changes[:8])
            + f'\nName another --work-dir, or remove {run.work_dir} to train '
            'it again'
        )
