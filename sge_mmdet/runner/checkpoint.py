"""MMEngine's checkpoints under torch >= 2.6, with ``weights_only`` left on.

From torch 2.6 on, ``torch.load`` builds nothing but tensors and plain
containers. MMEngine's checkpoints also hold its logs, so that its own test and
resume fail. :func:`allow_mmengine_checkpoints` allows exactly what MMEngine
0.10 writes: log buffers, the numpy numbers in them, and functions of a short
list. :func:`load_local_checkpoint` says in words why a file was not loaded.
"""
import difflib
import os
import os.path as osp
import pickle
import re
import zipfile
from typing import Any, Callable, Optional
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as stock

from .pickled_numpy import STAND_INS

# Functions that MMEngine writes into its checkpoints, which pickle stores as
# ``getattr(class, name)``.
PICKLED_METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}
# MMEngine's own tables of what its nicknames stand for.
NICKNAMES = {
    'torchvision': 'get_torchvision_models',
    'modelzoo': 'get_torchvision_models',
    'open-mmlab': 'get_external_models',
    'openmmlab': 'get_external_models',
    'mmcls': 'get_mmcls_models',
}


def get_pickled_method(cls: type, name: str) -> Callable:
    """Stand in for ``getattr`` while a checkpoint is loaded.

    Raises:
        pickle.UnpicklingError: For anything but :data:`PICKLED_METHODS`; with
            a free ``getattr`` a file could reach any function from a class.
    """
    if not any(cls is owner and name in names
               for owner, names in PICKLED_METHODS.items()):
        raise pickle.UnpicklingError(
            f'Unsupported global: GLOBAL getattr({cls!r}, {name!r})')
    return getattr(cls, name)


def allow_mmengine_checkpoints() -> None:
    """Let ``torch.load`` read MMEngine's checkpoints and explain refusals.

    Does nothing with torch < 2.6, where ``weights_only`` is off by default.
    """
    if not weights_only_is_default():
        return
    torch.serialization.add_safe_globals([
        HistoryBuffer, OneCycleParamScheduler,
        (get_pickled_method, 'builtins.getattr'), *STAND_INS
    ])
    CheckpointLoader.register_scheme(
        prefixes='', loader=load_local_checkpoint, force=True)
    CheckpointLoader.register_scheme(
        prefixes=('http://', 'https://'), loader=load_http_checkpoint,
        force=True)
    CheckpointLoader.register_scheme(
        prefixes=[f'{scheme}://' for scheme in NICKNAMES],
        loader=load_from_nickname, force=True)


def load_http_checkpoint(url: str, map_location: Optional[Any] = None) -> dict:
    """Download a checkpoint, once, and load it as a local file.

    It takes the place of MMEngine's loader of URLs, which lets a checkpoint
    run code. The file goes where PyTorch keeps its downloads.

    Args:
        url (str): Address of the file.
        map_location (optional): As in :func:`torch.load`. Default: None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: As :func:`load_local_checkpoint`.
    """
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    filename = osp.join(folder, osp.basename(urlparse(url).path))
    # The other processes wait, and find the file if they share the disk.
    for turn in (get_rank() == 0, get_rank() != 0):
        if turn and not osp.isfile(filename):
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(url, filename)
        barrier()
    return load_local_checkpoint(filename, map_location)


def load_from_nickname(name: str,
                       map_location: Optional[Any] = None) -> dict:
    """Load what MMEngine knows by a nickname, such as torchvision://resnet50.

    It takes the place of MMEngine's loaders, which let a checkpoint run code.

    Args:
        name (str): Scheme, one of :data:`NICKNAMES`, and name.
        map_location (optional): As in :func:`torch.load`. Default: None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: As :func:`load_local_checkpoint`.
        ValueError: If nothing is known by that name.
    """
    scheme, _, model = name.partition('://')
    if scheme in ('open-mmlab', 'openmmlab'):
        model = stock.get_deprecated_model_names().get(model, model)
    known = getattr(stock, NICKNAMES[scheme])()
    if model not in known:
        near = difflib.get_close_matches(model, known)
        raise ValueError(f'There is no checkpoint {name}' + (
            f'; there is {", ".join(near)}' if near else ''))
    place = known[model]
    if place.startswith(('http://', 'https://')):
        checkpoint = load_http_checkpoint(place, map_location)
    else:
        checkpoint = load_local_checkpoint(
            osp.join(stock._get_mmengine_home(), place), map_location)
    if scheme == 'mmcls':
        checkpoint = stock._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_local_checkpoint(filename: str,
                          map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint file without running anything that it contains.

    It takes the place of MMEngine's loader of local files. With torch < 2.6,
    which cannot be told what MMEngine writes, it loads as MMEngine does there:
    a file may then run code.

    Args:
        filename (str): Path of the file.
        map_location (optional): As in :func:`torch.load`. Default: None.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged or compressed, holds more than
            tensors, plain containers and what MMEngine writes, or no weights.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    try:
        unpacked = _unpacked_size(filename)
        if unpacked <= osp.getsize(filename):
            checkpoint = torch.load(
                filename, map_location=map_location,
                weights_only=weights_only_is_default())
    except Exception as error:
        # torch.load answers a damaged file with any of half a dozen types.
        refused = _refused_globals(filename, error)
        if refused:
            raise RuntimeError(
                f'Refused to load {filename}: it contains '
                f'{", ".join(refused)}, which could run code. Nothing of it '
                'was run. If its source is beyond doubt, save its weights '
                'alone: torch.save(dict(state_dict=torch.load(file, '
                "weights_only=False)['state_dict']), new_file)") from error
        if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
            raise
        raise RuntimeError(
            f'Cannot read {filename} ({osp.getsize(filename)} bytes): it is '
            'truncated, damaged or no checkpoint. Copy or download it again'
        ) from error
    # PyTorch stores what it writes as it is. A compressed file, or one whose
    # parts overlap, can be a thousand times as large in memory.
    if unpacked > osp.getsize(filename):
        raise RuntimeError(
            f'Refused to load {filename}: it is compressed, '
            f'{osp.getsize(filename)} bytes that unpack to {unpacked}, and '
            'torch.save never compresses. Unpack it if it is an archive')
    _check_structure(filename, checkpoint)
    return checkpoint


def _check_structure(filename: str, checkpoint: Any) -> None:
    """Raise unless MMEngine would find weights by their names."""
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(
        checkpoint, dict) else checkpoint
    if not isinstance(weights, dict):
        where = 'state_dict' if weights is not checkpoint else 'content'
        raise RuntimeError(
            f'{filename} is no checkpoint: its {where} is of type '
            f'{type(weights).__name__}, not a dict of names and tensors')


def _unpacked_size(filename: str) -> int:
    """Return what the parts of a zip file take in memory; else 0."""
    with open(filename, 'rb') as file:
        # What PyTorch tells a zip file by: one with something behind its end
        # is none to zipfile.is_zipfile.
        if file.read(4) != b'PK\x03\x04':
            return 0
    with zipfile.ZipFile(filename) as file:
        return sum(part.file_size for part in file.infolist())


def weights_only_is_default() -> bool:
    """Return whether ``torch.load`` runs nothing by default: torch >= 2.6."""
    major, minor = re.match(r'(\d+)\.(\d+)', torch.__version__).groups()
    return (int(major), int(minor)) >= (2, 6)


def _refused_globals(filename: str, error: Exception) -> 'list[str]':
    """Name what ``torch.load`` refused in a file; empty if it did not."""
    if not isinstance(error, pickle.UnpicklingError):
        return []
    named = re.findall(r'GLOBAL (getattr\(.*\)|[\w.]+)', str(error))
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(filename)
    except Exception:
        # Neither a file in the format before torch 1.6 nor a damaged one can
        # be searched.
        unsafe = []
    return sorted({*named, *unsafe})
