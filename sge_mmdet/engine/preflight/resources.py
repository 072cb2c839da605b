"""The machine and the schedule of a training."""

import os
import re
import shutil
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from ...utils import own_path, upstream_path
from ...utils.configs import base_batch_size, inherited_files
from .findings import Findings

# Ratio of batch sizes above which the learning rate is questioned. Upstream
# configs are off by two here and there.
LARGE_RATIO = 2
# Values that an optimizer keeps for each weight.
STATES = dict(SGD=1, RMSprop=1)
ADAM_STATES = 2
VALUE_BYTES = 4


def check_amp(findings: Findings, cfg: Config, amp: bool) -> None:
    """Check that float16 is not asked for without a GPU.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config of the training.
        amp (bool): Whether ``--amp`` is given.
    """
    kind = str((cfg.get('optim_wrapper') or {}).get('type'))
    if not (amp or kind.endswith('AmpOptimWrapper')) or get_device() != 'cpu':
        return
    what = '--amp' if amp else f'optim_wrapper.type={kind}'
    findings.error(
        f'{what} needs a GPU, and this machine has none; leave it out'
        + ('' if amp else ' (optim_wrapper.type=OptimWrapper)')
        + ', or train with optim_wrapper.type=BFloat16OptimWrapper'
    )


def check_work_dir(findings: Findings, work_dir: Path) -> Optional[Path]:
    """Check that a work directory can be written.

    Args:
        findings (Findings): Where findings are added.
        work_dir (Path): Work directory; it may not exist yet.

    Returns:
        Path or None: The nearest folder that exists; None after an error.
    """
    folder = work_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        findings.error(
            f'The work directory {work_dir} cannot be made, because {folder} '
            'is a file; name another one with --work-dir'
        )
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        findings.error(
            f'The work directory {work_dir} cannot be written: no permission '
            f'to write to {folder}; name another one with --work-dir'
        )
        return None
    return folder


def check_disk(
    findings: Findings, cfg: Config, model: nn.Module, folder: Path
) -> None:
    """Check that the checkpoints of a training fit on the disk.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config of the training.
        model (nn.Module): Its model.
        folder (Path): Folder on the disk.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    states = STATES.get(str(optimizer.get('type')), ADAM_STATES)
    copies = 1 + states + ('EMAHook' in repr(cfg.get('custom_hooks')))
    values = sum(weight.numel() for weight in model.parameters())
    size = VALUE_BYTES * values * copies
    free = shutil.disk_usage(folder).free
    number = _kept_checkpoints(cfg)
    if free < size:
        findings.error(
            f'{folder} has {free / 1e9:.1f} GB free, and a checkpoint takes '
            f'about {size / 1e9:.1f} GB; free some, or name another '
            '--work-dir'
        )
    elif free < size * number:
        findings.warn(
            f'{folder} has {free / 1e9:.1f} GB free, and the {number} '
            f'checkpoints take about {size * number / 1e9:.1f} GB; keep fewer '
            'with default_hooks.checkpoint.max_keep_ckpts=2'
        )


def _kept_checkpoints(cfg: Config) -> int:
    """Return the largest number of checkpoints that exist at a time."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    loop = cfg.get('train_cfg') or {}
    length = loop.get('max_iters') or loop.get('max_epochs') or 1
    interval = hook.get('interval', 1)
    number = length // interval if interval > 0 else 1
    if hook.get('max_keep_ckpts', -1) > 0:
        # The oldest is removed after the newest is written.
        number = min(number, hook['max_keep_ckpts'] + 1)
    return max(number, 1) + bool(hook.get('save_best'))


def check_rate(
    findings: Findings, cfg: Config, processes: int, scaled: bool
) -> None:
    """Check the learning rate against the images of a step.

    Args:
        findings (Findings): Where findings are added.
        cfg (Config): Config of the training.
        processes (int): Number of processes.
        scaled (bool): Whether ``--auto-scale-lr`` is given.
    """
    auto = cfg.get('auto_scale_lr') or {}
    wrapper: Any = cfg.get('optim_wrapper') or {}
    rate = (wrapper.get('optimizer') or {}).get('lr')
    images = (cfg.get('train_dataloader') or {}).get('batch_size')
    if scaled or auto.get('enable') or not (rate and images):
        return
    total = images * processes * (wrapper.get('accumulative_counts') or 1)
    source = Path(cfg.filename) if cfg.filename else None
    if _agree(total, auto.get('base_batch_size')) or _sets_rate(source):
        return
    base = base_batch_size(cfg, inherited_files(source) if source else [])
    if not base or _agree(total, base):
        return
    findings.warn(
        f'optim_wrapper.optimizer.lr={rate:g} is meant for {base} images a '
        f'step, and this training has {total} ({processes} x {images}); '
        f'{rate * total / base:.3g} would be in proportion. '
        + (
            '--auto-scale-lr sets it'
            if base == auto.get('base_batch_size') and 'enable' in auto
            else 'Set it with --cfg-options'
        )
    )


def _agree(total: int, base: Optional[int]) -> bool:
    return not base or 1 / LARGE_RATIO <= total / base <= LARGE_RATIO


def _sets_rate(source: Optional[Path]) -> bool:
    """Return whether a user's config has a learning rate of its own."""
    if source is None or not source.is_file():
        return False
    shipped = [upstream_path('configs'), own_path('configs')]
    if any(folder in source.resolve().parents for folder in shipped):
        return False
    text = source.read_text(encoding='utf-8', errors='replace')
    return re.search(r'\blr\b\W{0,3}[=:]', text) is not None
