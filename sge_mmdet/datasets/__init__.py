"""Data sets of the user, and those that this package generates."""

from .digits import DigitsOptions, make_digits
from .own_data import OwnData, read_own_data
from .splits import Split

__all__ = ['DigitsOptions', 'OwnData', 'Split', 'make_digits', 'read_own_data']
