"""What stops the reading of a file from elsewhere."""

import pickle


class CheckpointError(RuntimeError):
    """A checkpoint cannot be used; the message names the file."""


class Refused(pickle.UnpicklingError):
    """Something in a file is not read; the message says what, in brief."""


class OtherKind(Refused):
    """A file is of a kind that is no checkpoint; the message says which."""


class Damaged(Exception):
    """A file is not as any program writes it."""


class Budget:
    """Memory that what is read from a file may take.

    A file of a few bytes can ask for gigabytes. What is about to be built is
    paid for first, by estimates on the high side.

    Args:
        size (int): Size of the file in bytes.
    """

    # Reading itself holds a file two or three times; together they stay below
    # ten times the size of the file and 100 MB.
    FACTOR = 6
    BASE = 80_000_000

    def __init__(self, size: int) -> None:
        self.left = self.FACTOR * size + self.BASE

    def spend(self, number: int) -> None:
        """Pay for memory.

        Args:
            number (int): Bytes.

        Raises:
            Refused: If more is asked for than the file may take.
        """
        self.left -= number
        if self.left < 0:
            raise Refused('read, it would take more than ten times its size')
