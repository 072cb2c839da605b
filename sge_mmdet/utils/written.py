"""A list, in each folder, of the files that this package wrote there."""

import hashlib
import json
from pathlib import Path
from typing import Dict, List

from .json_files import load_json

# Name of the list and its only key, whose value maps files to their hashes.
LIST = '.sge_mmdet.json'
KEY = 'written by sge_mmdet (sha256)'


def is_own(path: Path) -> bool:
    """Return whether a file is unchanged since this package wrote it.

    Args:
        path (Path): Existing file.

    Raises:
        ValueError: If the list of the folder is not valid.
    """
    digests = _read(path.parent).get(path.name, [])
    return bool(digests) and not path.is_symlink() and digest(path) in digests


def list_with(path: Path, draft: Path) -> bytes:
    """Return the list of a folder with an entry for a new file.

    The hash of an existing file of that name stays in the list, so that the
    list is right even if the process ends before the new file is renamed.

    Args:
        path (Path): Name of the new file.
        draft (Path): Temporary file with its content.

    Raises:
        ValueError: If the list of the folder is not valid.
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
    sha256 = hashlib.sha256()
    with path.open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            sha256.update(block)
    return sha256.hexdigest()


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
            f'{path}: expected the list of files that sge_mmdet wrote, got '
            'something else; remove it'
        )
    return written
