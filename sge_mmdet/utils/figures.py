"""Writing of figures to files."""

import io
from pathlib import Path
from typing import BinaryIO, Union

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .files import RENEWING, PathLike, Writer

# Dots per inch of pictures.
DPI = 100
# Where a picture goes: a path, or an open file, which gets it as PNG.
PictureFile = Union[PathLike, BinaryIO]
# Decorator: draws "$" in names of classes and images as it is, not as formula.
plain_text = rc_context({'text.parse_math': False})


def save_figure(
    figure: Figure, out_file: PictureFile, writer: Writer = RENEWING
) -> None:
    """Write a figure to an image file.

    Args:
        figure (Figure): Figure to write.
        out_file (str, Path or BinaryIO): File to write; its suffix selects the
            format, such as ".png" or ".svg". An open file gets a PNG.
        writer (Writer): Writer of the file. Default: one that replaces only
            files that this package wrote.

    Raises:
        ValueError: If matplotlib does not know the format.
        WriteError: If the file cannot be written or must not be replaced.
    """
    picture, kind = io.BytesIO(), 'png'
    if isinstance(out_file, (str, Path)):
        kind = Path(out_file).suffix[1:] or kind
    if kind == 'png':
        # Figure.savefig draws everything twice.
        figure.dpi = DPI
        FigureCanvasAgg(figure).print_png(picture)
    else:
        figure.savefig(picture, format=kind, dpi=DPI)
    if isinstance(out_file, (str, Path)):
        writer.write(out_file, picture.getvalue())
    else:
        out_file.write(picture.getvalue())
