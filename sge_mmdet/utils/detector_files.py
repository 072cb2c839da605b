"""Names of the files of a detector."""

from pathlib import Path
from typing import Union

CONFIG = '.py'
CHECKPOINTS = ('.pth', '.pt')


def is_of_detector(name: Union[str, Path]) -> bool:
    """Return whether a name is that of a config or a checkpoint.

    Args:
        name (str or Path): Name of a file.
    """
    return Path(name).suffix in (CONFIG, *CHECKPOINTS)
