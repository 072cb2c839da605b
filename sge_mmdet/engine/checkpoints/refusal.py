"""Errors and memory budget for reading untrusted files."""

import pickle

from ...utils import plain_pickle


class CheckpointError(RuntimeError):
    """Raised if a checkpoint cannot be used; the message names the file."""


class Refused(pickle.UnpicklingError):
    """Raised for contents that are not allowed; the message describes them."""


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
    error = Refused
