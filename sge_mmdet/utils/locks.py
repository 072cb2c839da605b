"""File locks between processes of one machine."""

from typing import IO, Union

try:
    import fcntl
except ImportError:
    # Windows has none; there every lock is free.
    fcntl = None  # type: ignore[assignment]


def lock(file: Union[int, IO], wait: bool = True) -> None:
    """Take the lock of an open file, which closing the file gives back.

    Args:
        file (int or file object): The file or its descriptor.
        wait (bool): Whether to wait until nobody else holds it. Default:
            True.

    Raises:
        OSError: If somebody holds it and ``wait`` is false, or the file
            system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
