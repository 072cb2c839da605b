"""Several processes on machines that have no GPU."""

import os
from typing import List

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODEL_WRAPPERS
from torch.nn.parallel import DistributedDataParallel

# Where MMEngine's launchers look for the GPU that is a process's own.
LOCAL_RANKS = dict(
    pytorch='LOCAL_RANK',
    slurm='SLURM_LOCALID',
    mpi='OMPI_COMM_WORLD_LOCAL_RANK',
)


def use_cpus(cfg: Config, launcher: str) -> List[str]:
    """Let MMEngine's processes share CPUs where there is no GPU.

    MMEngine talks over NCCL, which needs GPUs, and gives every process the
    GPU of its number.

    Args:
        cfg (Config): Config of the run.
        launcher (str): "pytorch", "slurm", "mpi", or "none", for one process.

    Returns:
        list[str]: What to add to the config (``--cfg-options``); nothing
        where there is a GPU, or one process.
    """
    if launcher not in LOCAL_RANKS or get_device() != 'cpu':
        return []
    # For torch.cuda.set_device a negative number is none.
    os.environ[LOCAL_RANKS[launcher]] = '-1'
    options = []
    dist_cfg = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
    if dist_cfg.get('backend', 'nccl') == 'nccl':
        options.append('env_cfg.dist_cfg.backend=gloo')
    wrapper = cfg.get('model_wrapper_cfg')
    if not wrapper:
        # What MMEngine takes where a config names none.
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
