"""Data sets that this package generates."""

from .digits import DigitsOptions, make_digits

__all__ = ['DigitsOptions', 'make_digits']
