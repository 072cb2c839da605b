"""Data sets that the package makes itself."""

from .digits import DigitsOptions, make_digits

__all__ = ['DigitsOptions', 'make_digits']
