#!/usr/bin/env python3
"""Add SGE to every config that MMDetection ships and count what came of it.

At each place the changed parts of each config are built on the meta device,
plain and with SGE: the keys of the plain weights must all be there with their
shapes. Backbones run on an image of 128 x 128 pixels, and necks on what their
backbone returns. Each different change is also written as a derived config,
which is loaded. With ``--out`` the counts go to ``configs_tried.json`` and
what has SGE in fewer than two places to ``configs_left.json``.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

import torch
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.conversion import (
    NotApplicableError,
    add_sge,
    write_sge_config,
)
from sge_mmdet.conversion.add_sge import PLACES, find_parts, sge_changes
from sge_mmdet.conversion.parts import build_without_weights
from sge_mmdet.models.families import IMAGE_SIZE, run_without_weights
from sge_mmdet.utils import quiet_log, upstream_path

BUILT, FAILED, NOT_APPLICABLE = 'built', 'failed', 'not applicable'
# "both" is backbone and neck.
SWEPT = tuple(place for place in PLACES if place != 'both')


class Outcome(NamedTuple):
    """What came of one config at one place.

    Attributes:
        name: Path of the config below MMDetection's ``configs``.
        place: Where SGE went.
        kind: Types of the parts there, "-" if the config does not load.
        status: BUILT, FAILED or NOT_APPLICABLE.
        reason: Why, in one line; empty if it was built.
        was_run: Whether the parts were run as well.
    """

    name: str
    place: str
    kind: str
    status: str
    reason: str = ''
    was_run: bool = False


def upstream_config_names() -> List[str]:
    """Return the paths of all configs below MMDetection's ``configs``."""
    folder = upstream_path('configs')
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*.py')
        if not {'_base_', '__pycache__'} & set(path.parts)
    )


def load_upstream(name: str) -> Tuple[Optional[Config], str]:
    """Return a config with a model, or None and why there is none.

    Args:
        name (str): Path below MMDetection's ``configs``.
    """
    try:
        cfg = Config.fromfile(upstream_path('configs', name))
    except Exception as error:
        return None, f'does not load without SGE: {_first_line(error)}'
    if not isinstance(cfg.get('model'), dict):
        return None, 'has no model'
    return cfg, ''


def try_config(
    name: str, folder: Path, places: Sequence[str] = SWEPT, **options: Any
) -> List[Outcome]:
    """Add SGE to one config at each place, and build and run the parts.

    Args:
        name (str): Path below MMDetection's ``configs``.
        folder (Path): Where a derived config may be written.
        places (Sequence[str]): The places. Default: all.
        **options: Further options of ``add_sge``.
    """
    cfg, reason = load_upstream(name)
    if cfg is None:
        return [Outcome(name, w, '-', NOT_APPLICABLE, reason) for w in places]
    outcomes = []
    for place in places:
        outcomes.append(_try_place(name, cfg, place, folder, options))
    return outcomes


_written: Set[str] = set()


def _try_place(
    name: str, cfg: Config, place: str, folder: Path, options: dict
) -> Outcome:
    """Add SGE at one place; also write a derived config of a new kind."""
    keys = [key for one in PLACES[place] for key in one.keys]
    plain = dict(find_parts(cfg.model, keys))
    kind = ', '.join(sorted({_kind(part) for part in plain.values()}))
    try:
        with quiet_log():
            new = add_sge(cfg, where=place, **options)
            change = str(sge_changes(cfg, where=place, **options))
            if change not in _written:
                new = write_sge_config(
                    f'mmdet::{name}',
                    folder / 'sge.py',
                    overwrite=True,
                    where=place,
                    **options,
                )
                _written.add(change)
    except NotApplicableError as error:
        # The product's own answer, in words.
        return Outcome(name, place, kind, NOT_APPLICABLE, _first_line(error))
    except Exception as error:
        is_ours = all(map(_builds, plain.values()))
        status = FAILED if is_ours else NOT_APPLICABLE
        return Outcome(name, place, kind, status, _first_line(error))
    try:
        was_run = [
            _check(plain[path], part, _source(cfg.model, path))
            for path, part in find_parts(new.model, keys)
            if _key(plain[path]) != _key(part)
        ]
        assert was_run, 'nothing was changed'
    except Exception as error:
        return Outcome(name, place, kind, FAILED, _first_line(error))
    return Outcome(name, place, kind, BUILT, '', all(was_run))


def _source(model: dict, path: Tuple[str, ...]) -> Optional[dict]:
    """Return the config of the backbone before a neck."""
    if path[-1] != 'neck':
        return None
    for key in path[:-1]:
        model = model[key]
    return model.get('backbone')


def _kind(part: Any) -> str:
    if isinstance(part, (list, tuple)):
        return ' + '.join(map(_kind, part))
    return str(part.get('type'))


_seen: Dict[Tuple[str, ...], bool] = {}


def _check(before: Any, after: Any, source: Optional[dict]) -> bool:
    """Compare a part with and without SGE; return whether it was run.

    Each pair is built and run once.
    """
    key = _key(before), _key(after), _key(source or {})
    if key not in _seen:
        pairs = [*zip(_as_list(before), _as_list(after))]
        _seen[key] = all(
            [
                # Only the first of several necks gets the backbone's maps.
                _check_module(*pair, source if i == 0 else None)
                for i, pair in enumerate(pairs)
                if _key(pair[0]) != _key(pair[1])
            ]
        )
    return _seen[key]


def _check_module(before: dict, after: dict, source: Optional[dict]) -> bool:
    plain, with_sge = map(build_without_weights, (before, after))
    layers = [
        part
        for part in with_sge.modules()
        if isinstance(part, SpatialGroupEnhance)
    ]
    assert layers, 'there is no SGE layer'
    old, new = (
        {key: value.shape for key, value in module.state_dict().items()}
        for module in (plain, with_sge)
    )
    changed = [key for key in old if new.get(key) != old[key]]
    assert not changed, f'keys of weights were not kept: {changed[:3]}'
    added = [key for key in new.keys() - old.keys() if 'sge' not in key]
    assert not added, f'keys of other layers are new: {added[:3]}'
    try:
        inputs = torch.empty(1, 3, IMAGE_SIZE, IMAGE_SIZE, device='meta')
        if source:
            inputs = run_without_weights(build_without_weights(source), inputs)
        shapes = _shapes(run_without_weights(plain, inputs))
    except Exception:
        # A head, or an operator that has no kernel for the meta device.
        return False
    _run(with_sge, layers, inputs, shapes)
    return True


def _run(
    with_sge: nn.Module,
    layers: Sequence[nn.Module],
    inputs: Any,
    expected: Sequence[Tuple[int, ...]],
) -> None:
    """Run a part; raise if a layer was not run or a shape is another."""
    calls: Set[nn.Module] = set()
    for layer in layers:
        layer.register_forward_hook(lambda part, *_: calls.add(part))
    shapes = _shapes(run_without_weights(with_sge, inputs))
    assert calls == {*layers}, 'an SGE layer was not run'
    assert shapes == expected, f'shapes changed: {expected}, {shapes}'


def _shapes(outputs: Any) -> List[Tuple[int, ...]]:
    maps = [outputs] if isinstance(outputs, Tensor) else outputs
    return [tuple(part.shape) for part in maps]


def _builds(part: Any) -> bool:
    try:
        for cfg in _as_list(part):
            build_without_weights(cfg)
    except Exception:
        return False
    return True


def _as_list(part: Any) -> Sequence[Any]:
    return part if isinstance(part, (list, tuple)) else [part]


def _key(cfg: Any) -> str:
    """Return a text that equal configs share, wherever they stand."""
    if isinstance(cfg, (list, tuple)):
        return ' '.join(map(_key, cfg))
    drop = ('_scope_', 'init_cfg')
    return json.dumps(
        {key: value for key, value in cfg.items() if key not in drop},
        sort_keys=True,
        default=str,
    )


def _first_line(error: Exception) -> str:
    folder = upstream_path('configs')
    text = str(error).strip() or '(no message)'
    text = text.replace(f'{folder}/', '')
    return f'{type(error).__name__}: {text.splitlines()[0]}'


def remember_changes() -> None:
    """Let ``add_sge`` find the change of equal parts only once."""
    for name, places in PLACES.items():
        PLACES[name] = tuple(
            place._replace(change=_remembered(place.change))
            for place in places
        )


def _remembered(change: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps its results and its errors."""
    results: Dict[Tuple[str, str], Any] = {}

    def run(part: Any, where: Any) -> Any:
        key = _key(part), str(where)
        if key not in results:
            try:
                results[key] = change(part, where)
            except ValueError as error:
                results[key] = error
        if isinstance(results[key], ValueError):
            raise results[key]
        return results[key]

    return run


def tabulate(outcomes: List[Outcome]) -> str:
    """Return the counts by place and type and the reasons, as text."""
    statuses = (BUILT, FAILED, NOT_APPLICABLE)
    counts: Counter = Counter()
    for outcome in outcomes:
        for kind in (outcome.kind, 'all'):
            counts[outcome.place, kind, outcome.status] += 1
    rows = sorted({key[:2] for key in counts})
    width = max(len(f'{place}: {kind}') for place, kind in rows)
    lines = [f'{"part":{width}}  ' + '  '.join(f'{s:>14}' for s in statuses)]
    for place, kind in rows:
        lines.append(
            f'{f"{place}: {kind}":{width}}  '
            + '  '.join(f'{counts[place, kind, s]:14}' for s in statuses)
        )
    for status in (FAILED, NOT_APPLICABLE):
        reasons = Counter(
            f'{outcome.place}: {outcome.reason.partition(";")[0][:150]}'
            for outcome in outcomes
            if outcome.status == status
        )
        if reasons:
            lines += ['', f'{status}:'] + [
                f'{number:5}  {reason}'
                for reason, number in reasons.most_common()
            ]
    lines += [
        f'FAILED {outcome.name} ({outcome.place})'
        for outcome in outcomes
        if outcome.status == FAILED
    ]
    return '\n'.join(lines)


def counted(outcomes: List[Outcome]) -> List[List[str]]:
    """Return the rows of ``configs_tried.json``: what, and its count."""
    names = {outcome.name for outcome in outcomes}
    built = places_of(outcomes)
    no_model = {o.name for o in outcomes if o.reason == 'has no model'}
    unloadable = {
        o.name for o in outcomes if o.kind == '-' and o.name not in no_model
    }
    rows = [
        ('configs that MMDetection ships', len(names)),
        ('of them without a model (schedules and the like)', len(no_model)),
        (
            'that do not load here without SGE either (optional packages, '
            'missing bases)',
            len(unloadable),
        ),
        *(
            (
                f'take SGE with `--where {place}`',
                sum(place in of_one for of_one in built.values()),
            )
            for place in SWEPT
        ),
        *(
            (
                f'take SGE in at least {number} of these places',
                sum(len(of_one) >= number for of_one in built.values()),
            )
            for number in (1, 2, 3)
        ),
        ('failed', sum(outcome.status == FAILED for outcome in outcomes)),
    ]
    return [[what, str(count)] for what, count in rows]


def places_of(outcomes: List[Outcome]) -> Dict[str, Set[str]]:
    """Return the places at which each config takes SGE, by its name."""
    built: Dict[str, Set[str]] = {outcome.name: set() for outcome in outcomes}
    for outcome in outcomes:
        if outcome.status == BUILT:
            built[outcome.name].add(outcome.place)
    return built


def left(outcomes: List[Outcome]) -> List[List[str]]:
    """Return the configs with SGE in fewer than two places, and why.

    What has no model is left out.
    """
    built = places_of(outcomes)
    reasons: Dict[str, Dict[str, None]] = defaultdict(dict)
    for outcome in outcomes:
        if outcome.status != BUILT and outcome.reason != 'has no model':
            reason = outcome.reason.partition(';')[0].partition('. ')[0]
            reasons[outcome.name][reason[:120]] = None
    return [
        [f'`{name}`', ', '.join(sorted(built[name])) or '-', next(iter(why))]
        for name, why in reasons.items()
        if len(built[name]) < 2
    ]


def write_results(outcomes: List[Outcome], folder: Path, date: str) -> None:
    """Write both results files."""
    common = dict(
        # Where torchvision is missing, MMPretrain gets a stand-in for it.
        command='tests/helpers/without_torchvision.py '
        'tools/dev/sweep_configs.py --out docs/results',
        date=date,
        hardware='CPU',
        versions='as pinned in requirements/environment.txt (torch '
        f'{torch.__version__.partition("+")[0]}, mmcv 2.1.0, mmdet 3.3.0)',
    )
    for name, what, columns, rows in (
        (
            'configs_tried',
            "MMDetection 3.3.0's own configs, given SGE by `add_sge` at each "
            'place, written, loaded again, built with the keys of all weights '
            'kept, and the backbones run',
            ['what', 'count'],
            counted(outcomes),
        ),
        (
            'configs_left',
            'Configs of MMDetection 3.3.0 that have a model and take SGE in '
            'fewer than two places',
            ['config', 'takes SGE in', 'first reason'],
            left(outcomes),
        ),
    ):
        result = dict(what=what, **common, columns=columns, rows=rows)
        Path(folder, f'{name}.json').write_text(
            json.dumps(result, indent=1, ensure_ascii=False) + '\n'
        )


def main() -> None:
    """Sweep over all configs; exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'configs', nargs='*', help='paths below configs; default: all'
    )
    parser.add_argument('--groups', type=int, default=64)
    parser.add_argument(
        '--where', nargs='+', choices=SWEPT, default=list(SWEPT)
    )
    parser.add_argument('--out', type=Path, help='folder of the results')
    parser.add_argument('--date', default='', help='date of the results')
    args = parser.parse_args()
    register_all_modules()
    remember_changes()
    warnings.simplefilter('ignore')
    names = args.configs or upstream_config_names()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [
            outcome
            for name in track_iter_progress(names)
            for outcome in try_config(
                name, Path(folder), args.where, groups=args.groups
            )
        ]
    print(f'\n{tabulate(outcomes)}')
    if args.out:
        write_results(outcomes, args.out, args.date)
    sys.exit(any(outcome.status == FAILED for outcome in outcomes))


if __name__ == '__main__':
    main()
