#!/usr/bin/env python3
"""Add SGE to every config that MMDetection ships and count what came of it.

Each config is written as a short derived config, loaded again, and its
backbone is built with SGE and run on an image of 128 x 128 pixels.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.utils import track_iter_progress
from torch import nn

from sge_mmdet import SpatialGroupEnhance
from sge_mmdet.conversion import NotApplicableError, write_sge_config
from sge_mmdet.conversion.add_sge import BACKBONE_KEYS, find_parts
from sge_mmdet.utils import quiet_log, upstream_path

BUILT, FAILED, NOT_APPLICABLE = 'built', 'failed', 'not applicable'


class Outcome(NamedTuple):
    """What came of one config."""

    name: str
    kind: str
    status: str
    reason: str


def upstream_config_names() -> List[str]:
    """Return the paths of all configs below MMDetection's ``configs``."""
    folder = upstream_path('configs')
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*.py')
        if not {'_base_', '__pycache__'} & set(path.parts)
    )


def try_config(name: str, folder: Path, **options: object) -> Outcome:
    """Add SGE to one config and run its backbones.

    Args:
        name (str): Path below MMDetection's ``configs``.
        folder (Path): Where the derived config may be written.
        **options: Of ``add_sge``.
    """
    try:
        upstream = Config.fromfile(upstream_path('configs', name))
    except Exception as error:
        return Outcome(
            name,
            '-',
            NOT_APPLICABLE,
            f'does not load without SGE: {_first_line(error)}',
        )
    if not isinstance(upstream.get('model'), dict):
        return Outcome(name, '-', NOT_APPLICABLE, 'has no model')
    plain = dict(find_parts(upstream.model, BACKBONE_KEYS))
    kind = ', '.join(sorted({str(cfg.get('type')) for cfg in plain.values()}))
    try:
        with quiet_log():
            cfg = write_sge_config(
                f'mmdet::{name}', folder / 'sge.py', overwrite=True, **options
            )
    except NotApplicableError as error:
        # The product's own answer, in words.
        return Outcome(name, kind, NOT_APPLICABLE, _first_line(error))
    except Exception as error:
        status = FAILED if _builds(plain.values()) else NOT_APPLICABLE
        return Outcome(name, kind, status, _first_line(error))
    try:
        changed = [
            (plain[path], backbone)
            for path, backbone in find_parts(cfg.model, BACKBONE_KEYS)
            if _key(plain[path]) != _key(backbone)
        ]
        assert changed, 'no backbone was changed'
        for before, after in changed:
            _run_backbones(before, after)
    except Exception as error:
        return Outcome(name, kind, FAILED, _first_line(error))
    return Outcome(name, kind, BUILT, '')


_seen: Dict[Tuple[str, str], bool] = {}


def _run_backbones(before: dict, after: dict) -> None:
    """Run both backbones, once for each pair, and compare their outputs."""
    key = _key(before), _key(after)
    if key in _seen:
        return
    shapes = []
    calls: List[nn.Module] = []
    for cfg in before, after:
        backbone = MODELS.build(cfg)
        backbone.eval()
        layers = [
            part
            for part in backbone.modules()
            if isinstance(part, SpatialGroupEnhance)
        ]
        for layer in layers:
            layer.register_forward_hook(lambda part, *_: calls.append(part))
        with torch.no_grad():
            shapes.append(
                [out.shape for out in backbone(torch.rand(1, 3, 128, 128))]
            )
    assert layers and {*calls} == {*layers}, 'an SGE layer was not run'
    assert shapes[0] == shapes[1], f'shapes changed: {shapes}'
    _seen[key] = True


def _builds(configs: Iterator[dict]) -> bool:
    try:
        for cfg in configs:
            MODELS.build(cfg)
    except Exception:
        return False
    return True


def _key(cfg: dict) -> str:
    """Return a text that equal configs share, wherever they stand."""
    drop = ('_scope_', 'init_cfg')
    return json.dumps(
        {key: value for key, value in cfg.items() if key not in drop},
        sort_keys=True,
        default=str,
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip() or '(no message)'
    return f'{type(error).__name__}: {text.splitlines()[0]}'


def tabulate(outcomes: List[Outcome]) -> str:
    """Return the counts by backbone type and the reasons, as text."""
    kinds = sorted({outcome.kind for outcome in outcomes})
    statuses = (BUILT, FAILED, NOT_APPLICABLE)
    counts = Counter((outcome.kind, outcome.status) for outcome in outcomes)
    width = max(map(len, kinds))
    lines = [
        f'{"backbone":{width}}  ' + '  '.join(f'{s:>14}' for s in statuses)
    ]
    for kind in kinds:
        lines.append(
            f'{kind:{width}}  '
            + '  '.join(f'{counts[kind, status]:14}' for status in statuses)
        )
    lines.append(
        f'{"all":{width}}  '
        + '  '.join(
            f'{sum(o.status == status for o in outcomes):14}'
            for status in statuses
        )
    )
    for status in (FAILED, NOT_APPLICABLE):
        reasons = Counter(
            outcome.reason.partition(';')[0][:150]
            for outcome in outcomes
            if outcome.status == status
        )
        if reasons:
            lines += ['', f'{status}:'] + [
                f'{number:5}  {reason}'
                for reason, number in reasons.most_common()
            ]
    lines += [
        f'FAILED {outcome.name}'
        for outcome in outcomes
        if outcome.status == FAILED
    ]
    return '\n'.join(lines)


def main() -> None:
    """Sweep over all configs; exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--groups', type=int, default=64)
    parser.add_argument('--position', default='after_conv3')
    args = parser.parse_args()
    register_all_modules()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [
            try_config(name, Path(folder), **vars(args))
            for name in track_iter_progress(upstream_config_names())
        ]
    print(f'\n{tabulate(outcomes)}')
    sys.exit(any(outcome.status == FAILED for outcome in outcomes))


if __name__ == '__main__':
    main()
