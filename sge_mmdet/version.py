"""Version of sge_mmdet."""

__version__ = '0.2.0'
