"""A page that shows an evaluation or a comparison, to be explored.

- ``outcomes``: what became of each object and detection, at any score;
- ``crops``: pieces of images;
- ``content``: what a page shows, with the pieces of ``gallery``;
- ``page``: the page as one HTML file, made of ``assets``;
- ``report``: :class:`Report`, which writes it or shows it in a notebook.
"""

from .gallery import Gallery
from .report import Report, compared_report, evaluated_report

__all__ = ['Gallery', 'Report', 'compared_report', 'evaluated_report']
