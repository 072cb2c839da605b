"""Writing of figures to files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from .files import RENEWING, PathLike, Writer


def save_figure(
    figure: Figure, out_file: PathLike, writer: Writer = RENEWING
) -> None:
    """Write a figure as a picture.

    Args:
        figure (Figure): The figure.
        out_file (str or Path): The file; its suffix says the format.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        ValueError: If there is no such format.
        WriteError: If it cannot be written, or something else is there.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(out_file).suffix[1:] or 'png', dpi=100)
    writer.write(out_file, picture.getvalue())
