"""Imported before ``sge_mmdet`` where a command reads result files alone.

``sge_mmdet`` then registers nothing and imports neither PyTorch nor
MMDetection. A process in which configs are read must not import it.
"""
