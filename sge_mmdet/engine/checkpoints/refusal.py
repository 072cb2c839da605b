"""Errors and memory budget for reading untrusted files."""

import pickle


class CheckpointError(RuntimeError):
    """Raised if a checkpoint cannot be used; the message names the file."""


class Refused(pickle.UnpicklingError):
    """Raised for contents that are not allowed; the message describes them."""


class OtherKind(Refused):
    """Raised for a file of another kind; the message says which."""


class Damaged(Exception):
    """Raised for a file that no program writes in this form."""


class Budget:
    """Memory budget for reading a file.

    A file of a few bytes can request gigabytes. Before an object is built, an
    upper estimate of its size is subtracted from the budget.

    Args:
        size (int): Size of the file, in bytes.
    """

    # Reading needs two or three copies of the file. All together the memory
    # stays below ten times the size of the file plus 100 MB.
    FACTOR = 6
    BASE = 80_000_000

    def __init__(self, size: int) -> None:
        self.left = self.FACTOR * size + self.BASE

    def spend(self, number: int) -> None:
        """Subtract memory from the budget.

        Args:
            number (int): Size of the memory, in bytes.

        Raises:
            Refused: If the budget is exhausted.
        """
        self.left -= number
        if self.left < 0:
            raise Refused('read, it would take more than ten times its size')
