"""Reading of the images that annotations name, only from their folder."""

import os.path as osp
from pathlib import Path
from typing import Union

import numpy as np

from .text import printable


def read_image(folder: Union[str, Path], name: str) -> np.ndarray:
    """Read an image of a data set, only from its folder.

    Args:
        folder (str or Path): Folder of the images.
        name (str): ``file_name`` in an annotation file, which is untrusted.

    Returns:
        np.ndarray: Image of shape (H, W) or (H, W, channels).

    Raises:
        FileNotFoundError: If there is no such image.
        ValueError: If the name leads out of the folder, or the file is not an
            image.
    """
    from matplotlib.image import imread
    from PIL import Image

    # Symbolic links are followed, because the user made them.
    path = Path(osp.abspath(osp.join(folder, name)))
    if Path(osp.abspath(folder)) not in path.parents:
        raise ValueError(
            f'The file_name "{printable(name)}" leads out of the folder of '
            f'images, {folder}; annotations must name files in this folder'
        )
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no image {printable(name)} in {folder}; name the '
            'folder of the images that the annotations belong to'
        )
    try:
        # Pillow refuses images of absurd size here; matplotlib skips this
        # check for PNG.
        with Image.open(path):
            pass
        return imread(path)
    except Exception as error:
        # The decoders of many formats raise their own types of error.
        raise ValueError(
            f'{printable(name)} in {folder} cannot be read as an image: '
            f'{printable(str(error))}; replace it'
        ) from error
