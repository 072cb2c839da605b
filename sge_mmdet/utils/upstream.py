"""Paths of the configs and tools of the installed MMDetection."""

from pathlib import Path

import mmdet


def upstream_path(*parts: str) -> Path:
    """Return a path in what MMDetection ships besides its package.

    Args:
        *parts (str): Path below its root, such as "tools", "train.py".

    Raises:
        FileNotFoundError: If this MMDetection came without it.
    """
    package = Path(mmdet.__file__).resolve().parent
    # In a wheel, and in a clone that was installed in editable mode.
    for root in (package / '.mim', package.parent):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise FileNotFoundError(
        f'The MMDetection in {package} has no {"/".join(parts)}'
    )
