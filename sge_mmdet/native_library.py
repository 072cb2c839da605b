"""Loading the C++ libraries that setup.py builds where there is a compiler.

They know nothing of Python: :mod:`ctypes` calls them.
"""

import ctypes
import hashlib
import sysconfig
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Optional

# As setup.py writes them, in the format of sha256sum.
DIGEST_SUFFIX = '.sha256'
BUILD_AGAIN = (
    'Build it again: pip install --force-reinstall --no-deps sge_mmdet, or in '
    'a clone pip install --no-deps -e .'
)


def load_library(
    folder: Path, name: str, version: int, without: str
) -> Optional[ctypes.CDLL]:
    """Return a library, or None where it is not built.

    Args:
        folder (Path): Where it lies.
        name (str): Its file name without endings, such as "_sge".
        version (int): What its function ``sge_version`` must return.
        without (str): What happens without it, for the warning that its file
            is damaged.
    """
    ours = f'{name}{sysconfig.get_config_var("EXT_SUFFIX")}'
    for path in sorted(
        folder.glob(f'{name}*'), key=lambda path: path.name != ours
    ):
        if path.suffix == DIGEST_SUFFIX:
            continue
        if not is_whole(path):
            warnings.warn(
                f'{path} is not the file that was built, so it is not loaded '
                f'and {without}. {BUILD_AGAIN}',
                stacklevel=3,
            )
            continue
        # A file may be of another machine, or older than its module.
        with suppress(OSError, AttributeError):
            found = ctypes.CDLL(str(path))
            if found.sge_version() == version:
                return found
            warnings.warn(
                f'{path} was built from another version of its source, so it '
                f'is not loaded and {without}. {BUILD_AGAIN}',
                stacklevel=3,
            )
    return None


def is_whole(path: Path) -> bool:
    """Return whether a library is what setup.py built, to the last byte.

    Loading one that lost its end would stop the process.

    Args:
        path (Path): The library; its digest lies beside it.
    """
    digest = path.with_name(path.name + DIGEST_SUFFIX)
    try:
        return digest.read_text().split()[:1] == [
            hashlib.sha256(path.read_bytes()).hexdigest()
        ]
    except (OSError, UnicodeDecodeError):
        return False
