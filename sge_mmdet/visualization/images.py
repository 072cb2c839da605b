"""Images that annotations name, read from one folder alone."""

import os.path as osp
from pathlib import Path
from typing import Union

import numpy as np
from matplotlib import rc_context
from matplotlib.image import imread
from PIL import Image

from ..utils import printable

# A decorator: names of classes and images may hold "$", which is no formula.
plain_text = rc_context({'text.parse_math': False})


def read_image(folder: Union[str, Path], name: str) -> np.ndarray:
    """Read an image of a data set, and none outside its folder.

    Args:
        folder (str or Path): Of the images.
        name (str): ``file_name`` of an annotation file, which may be of
            anybody.

    Returns:
        np.ndarray: Shape (H, W) or (H, W, channels).

    Raises:
        FileNotFoundError: If there is no such image.
        ValueError: If the name leads out of the folder, or the file is no
            image.
    """
    # Links that the user made are followed: names alone are not trusted.
    path = Path(osp.abspath(osp.join(folder, name)))
    if Path(osp.abspath(folder)) not in path.parents:
        raise ValueError(
            f'The file_name "{printable(name)}" leads out of the '
            f'folder of images, {folder}'
        )
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no image {printable(name)} in {folder}'
        )
    try:
        # Pillow refuses images of absurd size here; matplotlib goes around
        # that for PNG.
        with Image.open(path):
            pass
        return imread(path)
    except Exception as error:
        # Decoders of a dozen formats have errors of their own.
        raise ValueError(
            f'{printable(name)} is no image that can be read, in '
            f'{folder}: {printable(str(error))}'
        ) from error
