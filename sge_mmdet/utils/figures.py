"""Writing of figures to files."""

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .files import RENEWING, PathLike, Writer

# Dots per inch of pictures.
DPI = 100


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
    picture, kind = io.BytesIO(), Path(out_file).suffix[1:] or 'png'
    if kind == 'png':
        # Figure.savefig draws everything twice.
        figure.dpi = DPI
        FigureCanvasAgg(figure).print_png(picture)
    else:
        figure.savefig(picture, format=kind, dpi=DPI)
    writer.write(out_file, picture.getvalue())
