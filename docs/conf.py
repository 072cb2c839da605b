"""Sphinx configuration of the site that ``make docs`` builds."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from sge_mmdet import __version__  # noqa: E402

project = 'sge_mmdet'
author = 'The sge_mmdet authors'
version = release = __version__
extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx.ext.mathjax',
]
exclude_patterns = ['_build', 'results']
html_theme = 'furo'
html_title = f'sge_mmdet {version}'
# Anchors of headings, as GitHub makes them.
myst_heading_anchors = 3
# Signatures show the types; docstrings say what they mean.
autodoc_typehints = 'signature'
autodoc_inherit_docstrings = False
autodoc_member_order = 'groupwise'
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# A link to a Markdown file outside of this folder.
OUTSIDE = re.compile(r'\[([^]`]+)\]\((\.\./[^)#]+\.md)\)')


def link_outside(app: object, page: str, source: list) -> None:
    """Offer Markdown files outside of ``docs`` as downloads."""
    source[0] = OUTSIDE.sub(r'{download}`\1 <\2>`', source[0])


def setup(app: object) -> None:
    """Register :func:`link_outside`."""
    app.connect('source-read', link_outside)
