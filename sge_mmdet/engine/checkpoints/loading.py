"""Loading of MMEngine's checkpoints without running code in them.

MMEngine's own loaders call ``torch.load``. Up to torch 2.5 it runs code in the
file, and from 2.6 on it refuses the logs in MMEngine's checkpoints.
:func:`load_local_checkpoint` replaces them. It checks the layout of the file,
reads it with its own unpickler, and removes code that MMEngine would execute
later.
"""

import difflib
import io
import os
import os.path as osp
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Optional
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.fileio import get_file_backend
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as upstream

from .archive import is_zip, read_storages
from .content import check_content
from .plain_data import check_plain
from .refusal import CheckpointError, OtherKind, Refused
from .unpickler import pickle_module_for

# MMEngine's functions that return the URLs of its nicknames.
NICKNAMES = {
    'torchvision': 'get_torchvision_models',
    'modelzoo': 'get_torchvision_models',
    'open-mmlab': 'get_external_models',
    'openmmlab': 'get_external_models',
    'mmcls': 'get_mmcls_models',
}
SAVE_WEIGHTS = (
    '. If its source is beyond doubt, save its weights alone: '
    'torch.save(dict(state_dict=torch.load(file, '
    "weights_only=False)['state_dict']), new_file)"
)


def allow_mmengine_checkpoints() -> None:
    """Let MMEngine load checkpoints as :func:`load_local_checkpoint` does.

    Its loaders for files, URLs, nicknames and Ceph servers are replaced.
    :func:`torch.load` and its list of allowed functions do not change.
    """
    CheckpointLoader.register_scheme(
        prefixes='', loader=load_from_local, force=True
    )
    CheckpointLoader.register_scheme(
        prefixes=('http://', 'https://'),
        loader=load_from_http,
        force=True,
    )
    CheckpointLoader.register_scheme(
        prefixes=[f'{scheme}://' for scheme in NICKNAMES],
        loader=load_from_nickname,
        force=True,
    )
    CheckpointLoader.register_scheme(
        prefixes=[r'(\S+\:)?s3://', r'(\S+\:)?petrel://'],
        loader=load_from_ceph,
        force=True,
    )


def load_from_http(url: str, map_location: Optional[Any] = None) -> dict:
    """Download a checkpoint, once, and load it as a local file.

    It replaces MMEngine's loader for URLs, which lets a checkpoint run code.
    The file is stored in the folder of PyTorch's downloads.

    Args:
        url (str): URL of the file.
        map_location (optional): Device, as in :func:`torch.load`. Default:
            None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: In the same cases as :func:`load_local_checkpoint`.
    """
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    filename = osp.join(folder, osp.basename(urlparse(url).path))
    # The other processes wait and find the file if they share the disk.
    for turn in (get_rank() == 0, get_rank() != 0):
        if turn and not osp.isfile(filename):
            os.makedirs(folder, exist_ok=True)
            torch.hub.download_url_to_file(url, filename)
        barrier()
    return load_local_checkpoint(filename, map_location)


def load_from_ceph(name: str, map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint from a Ceph server, such as s3://a/b.pth.

    It replaces MMEngine's loader, which keeps config text that MMEngine
    executes.

    Args:
        name (str): URL of the file.
        map_location (optional): Device, as in :func:`torch.load`. Default:
            None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: In the same cases as :func:`load_local_checkpoint`.
    """
    backend = get_file_backend(name, backend_args=dict(backend='petrel'))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, osp.basename(name))
        copy.write_bytes(backend.get(name))
        return load_local_checkpoint(str(copy), map_location)


def load_from_nickname(name: str, map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint by its nickname, such as torchvision://resnet50.

    It replaces MMEngine's loaders, which let a checkpoint run code.

    Args:
        name (str): Nickname with its scheme, one of :data:`NICKNAMES`.
        map_location (optional): Device, as in :func:`torch.load`. Default:
            None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: In the same cases as :func:`load_local_checkpoint`.
        ValueError: If the nickname is unknown.
    """
    scheme, _, model = name.partition('://')
    if scheme in ('open-mmlab', 'openmmlab'):
        model = upstream.get_deprecated_model_names().get(model, model)
    known = getattr(upstream, NICKNAMES[scheme])()
    if model not in known:
        near = difflib.get_close_matches(model, known)
        raise ValueError(
            f'There is no checkpoint {name}'
            + (f'; there is {", ".join(near)}' if near else '')
        )
    place = known[model]
    if place.startswith(('http://', 'https://')):
        checkpoint = load_from_http(place, map_location)
    else:
        checkpoint = load_local_checkpoint(
            osp.join(upstream._get_mmengine_home(), place), map_location
        )
    if scheme == 'mmcls':
        checkpoint = upstream._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_from_local(filename: str, map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint file as :func:`load_local_checkpoint` does.

    MMEngine shows the name of a loader from its tenth letter on: "local".

    Args:
        filename (str): Path of the file.
        map_location (optional): Device, as in :func:`torch.load`. Default:
            None.

    Returns:
        dict: The checkpoint.
    """
    return load_local_checkpoint(filename, map_location)


def load_local_checkpoint(
    filename: str, map_location: Optional[Any] = None
) -> dict:
    """Load a checkpoint file without running code in it.

    It replaces MMEngine's loader for local files.

    Args:
        filename (str): Path of the file.
        map_location (optional): Device, as in :func:`torch.load`. Default:
            None.

    Returns:
        dict: The checkpoint, without assignments in its config text that name
        code which is not registered.

    Raises:
        FileNotFoundError: If the file does not exist.
        RuntimeError: If the file is damaged or compressed, has no weights, or
            contains more than tensors, plain containers and MMEngine's logs.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(
            f'There is no checkpoint {filename}; name a file or a URL'
        )
    if os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0').lower() in (
        '1',
        'y',
        'yes',
        'true',
    ):
        raise CheckpointError(
            f'Cannot read {filename} while TORCH_FORCE_WEIGHTS_ONLY_LOAD is '
            'set, because PyTorch then refuses other readers of pickles; '
            'unset it: this reader runs no code either'
        )
    with open(filename, 'rb') as file:
        size = os.fstat(file.fileno()).st_size
        try:
            checkpoint = _read(file, size, map_location)
            check_content(filename, checkpoint)
        except Refused as error:
            advice = '' if isinstance(error, OtherKind) else SAVE_WEIGHTS
            raise CheckpointError(
                f'Refused to load {filename}: {error}. Nothing of it was run'
                f'{advice}'
            ) from error
    return checkpoint


def _read(file: BinaryIO, size: int, map_location: Any) -> Any:
    """Return the contents of a file."""
    try:
        storages = read_storages(file) if is_zip(file) else None
        file.seek(0)
        # Reading the older format from memory keeps PyTorch from treating it
        # as a tar archive and from allocating more than its size.
        source = io.BytesIO(file.read()) if storages is None else file
        checkpoint = torch.load(
            source,
            map_location=map_location,
            weights_only=False,
            pickle_module=pickle_module_for(size, storages),
        )
        check_plain(checkpoint, size)
        return checkpoint
    except (Refused, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        # torch.load raises many types of error for damaged files.
        raise CheckpointError(
            f'Cannot read {file.name} ({size} bytes): it is truncated, '
            'damaged or not a checkpoint. Copy or download it again'
        ) from error
