"""Distributed runs on machines without a GPU."""

import os
from typing import List

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODEL_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

# Variables from which MMEngine's launchers read the index of a process's GPU.
LOCAL_RANKS = dict(
    pytorch='LOCAL_RANK',
    slurm='SLURM_LOCALID',
    mpi='OMPI_COMM_WORLD_LOCAL_RANK',
)


def use_cpus(cfg: Config, launcher: str) -> List[str]:
    """Let MMEngine's processes share CPUs if there is no GPU.

    By default MMEngine communicates by NCCL, which needs GPUs, and assigns a
    GPU to each process.

    Args:
        cfg (Config): Config of the run.
        launcher (str): Launcher: "pytorch", "slurm", "mpi", or "none" for a
            single process.

    Returns:
        list[str]: Options to add to the config (``--cfg-options``); empty if
        there is a GPU or a single process.
    """
    if launcher not in LOCAL_RANKS or get_device() != 'cpu':
        return []
    # `set_device(-1)` is a no-op.
    os.environ[LOCAL_RANKS[launcher]] = '-1'
    options = []
    dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    if dist_cfg.get('backend', 'nccl') == 'nccl':
        options.append('env_cfg.dist_cfg.backend=gloo')
    wrapper = cfg.get('model_wrapper_cfg')
    if not wrapper:
        # MMEngine's default if a config has no wrapper.
        wrapper = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        options += [
            f'model_wrapper_cfg.{key}={value}'
            for key, value in wrapper.items()
        ]
    kind = MODEL_WRAPPERS.get(wrapper.get('type', 'MMDistributedDataParallel'))
    if kind and issubclass(kind, DistributedDataParallel):
        options.append('model_wrapper_cfg.device_ids=None')
    return options
