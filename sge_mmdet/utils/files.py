"""Files that are written."""
from pathlib import Path
from typing import Union


def refuse_existing(path: Union[str, Path], overwrite: bool) -> None:
    """Raise if a file that is to be written is there, unless it may go.

    Args:
        path (str or Path): The file.
        overwrite (bool): Whether it may be replaced.

    Raises:
        FileExistsError: If it is there and may not.
    """
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f'{path} is there already; name another file '
                              'or say --overwrite')
