"""Writing of figures to files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from .files import RENEWING, PathLike, Writer


def save_figure(
    figure: Figure, out_file: PathLike, writer: Writer = RENEWING
) -> None:
    """Write a figure to an image file.

    Args:
        figure (Figure): Figure to write.
        out_file (str or Path): File to write; its suffix selects the format,
            such as ".png" or ".svg".
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        ValueError: If matplotlib does not know the format.
        WriteError: If the file cannot be written or must not be replaced.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format=Path(out_file).suffix[1:] or 'png', dpi=100)
    writer.write(out_file, picture.getvalue())
