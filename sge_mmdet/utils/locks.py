"""File locks between the processes of a machine."""

from typing import IO, Union

try:
    import fcntl
except ImportError:
    # Windows has no fcntl; locking is a no-op there.
    fcntl = None  # type: ignore[assignment]


def lock(file: Union[int, IO], wait: bool = True) -> None:
    """Lock an open file until it is closed.

    Args:
        file (int or file object): Open file or its descriptor.
        wait (bool): Whether to wait while another process holds the lock.
            Default: True.

    Raises:
        OSError: If another process holds the lock and ``wait`` is false, or
            if the file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
