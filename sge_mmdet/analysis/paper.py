"""Parameters and GFLOPs as the paper prints them (arXiv 1905.09646)."""
from typing import NamedTuple, Tuple


class PaperRow(NamedTuple):
    """A row of the paper's tables.

    Attributes:
        name (str): Name of the model.
        backbone (dict): Config of its backbone.
        is_classifier (bool): Whether ImageNet's classifier is part of it.
        image (tuple[int, int]): Height and width of the image, in pixels.
        params (str): Millions of parameters, as printed.
        gflops (str): GFLOPs, as printed.
    """

    name: str
    backbone: dict
    is_classifier: bool
    image: Tuple[int, int]
    params: str
    gflops: str


def _rows(name: str, backbone: dict, classifier: Tuple[str, str],
          detector: Tuple[str, str]) -> Tuple[PaperRow, PaperRow]:
    return (PaperRow(f'{name} classifier', backbone, True, (224, 224),
                     *classifier),
            PaperRow(f'{name} backbone', backbone, False, (800, 1333),
                     *detector))


PAPER_ROWS = (
    *_rows('ResNet-50', dict(type='ResNet', depth=50),
           ('25.56', '4.122'), ('23.51', '88.0')),
    *_rows('SGE-ResNet-50', dict(type='SGEResNet', depth=50),
           ('25.56', '4.127'), ('23.51', '88.1')),
    *_rows('ResNet-101', dict(type='ResNet', depth=101),
           ('44.55', '7.849'), ('42.50', '167.9')),
    *_rows('SGE-ResNet-101', dict(type='SGEResNet', depth=101),
           ('44.55', '7.858'), ('42.50', '168.1')),
)
