"""Errors and memory budget for reading untrusted files."""

from ...utils import plain_pickle
from ...utils.plain_pickle import Refused

__all__ = ['Budget', 'CheckpointError', 'Damaged', 'OtherKind', 'Refused']


class CheckpointError(RuntimeError):
    """Raised if a checkpoint cannot be used; the message names the file."""


class OtherKind(Refused):
    """Raised for a file of another kind; the message says which."""


class Damaged(Exception):
    """Raised for a file that no program writes in this form."""


class Budget(plain_pickle.Budget):
    """Memory budget for reading a checkpoint.

    Args:
        size (int): Size of the file, in bytes.
    """

    # Reading needs two or three copies of the file.
    FACTOR = 6
    FREE_BYTES = 80_000_000
