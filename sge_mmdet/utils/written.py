"""List of the files in a folder that this package wrote, with their hashes."""

import hashlib
import json
from pathlib import Path
from typing import Dict, List

from .json_files import load_json

# In each folder with files that may be renewed.
LIST = '.sge_mmdet.json'
KEY = 'written by sge_mmdet (sha256)'


def is_own(path: Path) -> bool:
    """Return whether a file is as this package wrote it.

    Args:
        path (Path): The file, which is there.

    Raises:
        ValueError: If the folder's list of written files is not one.
    """
    digests = _read(path.parent).get(path.name, [])
    return bool(digests) and not path.is_symlink() and digest(path) in digests


def list_with(path: Path, draft: Path) -> bytes:
    """Return the folder's list with what is about to be written.

    What is there stays known, if it is, so that nothing is forgotten if the
    process ends before the new file has its name.

    Args:
        path (Path): The name that the file will have.
        draft (Path): The file as it is.

    Raises:
        ValueError: If the folder's list of written files is not one.
    """
    written = _read(path.parent)
    known = [digest(path)] if path.exists() and is_own(path) else []
    written[path.name] = sorted({*known, digest(draft)})
    return json.dumps({KEY: written}, indent=1, sort_keys=True).encode()


def digest(path: Path) -> str:
    """Return the SHA-256 hash of a file.

    Args:
        path (Path): File to read.
    """
    found = hashlib.sha256()
    with path.open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            found.update(block)
    return found.hexdigest()


def _read(folder: Path) -> Dict[str, List[str]]:
    path = folder / LIST
    if not path.exists():
        return {}
    content = load_json(path)
    written = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(written, dict) or not all(
        isinstance(digests, list) for digests in written.values()
    ):
        raise ValueError(
            f'{path} is not the list of written files that it '
            'is called; remove it'
        )
    return written
