"""Version of sge_mmdet."""

__version__ = '0.1.0'
