"""MMEngine's checkpoints, loaded without running anything of them.

MMEngine's own loaders call ``torch.load``, which up to torch 2.5 runs what a
file contains, and from 2.6 on refuses the logs in MMEngine's checkpoints.
:func:`load_local_checkpoint` takes their place. It checks how the file is laid
out, reads it with an unpickler of its own, and defuses what MMEngine would
execute later.
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

# MMEngine's own tables of what its nicknames stand for.
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

    Its loaders of files, URLs, nicknames and Ceph servers are replaced;
    :func:`torch.load` itself, and what it allows, stay as they are.
    """
    CheckpointLoader.register_scheme(
        prefixes='', loader=load_local_checkpoint, force=True
    )
    CheckpointLoader.register_scheme(
        prefixes=('http://', 'https://'),
        loader=load_http_checkpoint,
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


def load_from_ceph(name: str, map_location: Optional[Any] = None) -> dict:
    """Load a checkpoint that lies on a Ceph server, such as s3://a/b.pth.

    It takes the place of MMEngine's loader, which hands on config text that
    MMEngine executes.

    Args:
        name (str): Address of the file.
        map_location (optional): As in :func:`torch.load`. Default: None.

    Returns:
        dict: The checkpoint.

    Raises:
        RuntimeError: As :func:`load_local_checkpoint`.
    """
    backend = get_file_backend(name, backend_args=dict(backend='petrel'))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, osp.basename(name))
        copy.write_bytes(backend.get(name))
        return load_local_checkpoint(str(copy), map_location)


def load_from_nickname(name: str, map_location: Optional[Any] = None) -> dict:
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
        checkpoint = load_http_checkpoint(place, map_location)
    else:
        checkpoint = load_local_checkpoint(
            osp.join(upstream._get_mmengine_home(), place), map_location
        )
    if scheme == 'mmcls':
        checkpoint = upstream._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def load_local_checkpoint(
    filename: str, map_location: Optional[Any] = None
) -> dict:
    """Load a checkpoint file without running anything that it contains.

    It takes the place of MMEngine's loader of local files.

    Args:
        filename (str): Path of the file.
        map_location (optional): As in :func:`torch.load`. Default: None.

    Returns:
        dict: The checkpoint. Of its config text, what names code of others is
        left out.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is damaged or compressed, holds more than
            tensors, plain containers and what MMEngine writes, or no weights.
    """
    filename = osp.expanduser(filename)
    if not osp.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    if os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD', '0').lower() in (
        '1',
        'y',
        'yes',
        'true',
    ):
        raise CheckpointError(
            f'Cannot read {filename} while TORCH_FORCE_WEIGHTS_ONLY_LOAD is '
            'set, under which PyTorch takes no other reader of pickles; unset '
            'it: the one here runs nothing either'
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
    """Return what a file holds."""
    try:
        storages = read_storages(file) if is_zip(file) else None
        file.seek(0)
        # In memory, a file of the older format cannot be a tar archive, nor
        # make PyTorch ask for more than it has.
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
        # torch.load answers a damaged file with any of half a dozen types.
        raise CheckpointError(
            f'Cannot read {file.name} ({size} bytes): it is truncated, '
            'damaged or no checkpoint. Copy or download it again'
        ) from error
