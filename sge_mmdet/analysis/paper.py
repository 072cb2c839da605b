"""Parameters and GFLOPs as the paper prints them (arXiv 1905.09646)."""

from typing import NamedTuple, Tuple


class PaperRow(NamedTuple):
    """A row of the paper's tables.

    Attributes:
        name (str): Name of the model.
        backbone (dict): Config of its backbone.
        is_classifier (bool): Whether the ImageNet classifier is included.
        image (tuple[int, int]): Height and width of the image, in pixels.
        params (str): Millions of parameters, as printed.
        gflops (str): GFLOPs, as printed.
        difference (str): Known reason for which the paper prints other digits
            than are counted here; empty if they are equal.
    """

    name: str
    backbone: dict
    is_classifier: bool
    image: Tuple[int, int]
    params: str
    gflops: str
    difference: str = ''


def _rows(
    name: str,
    backbone: dict,
    classifier: Tuple[str, str],
    detector: Tuple[str, str],
) -> Tuple[PaperRow, PaperRow]:
    return (
        PaperRow(
            f'{name} classifier', backbone, True, (224, 224), *classifier
        ),
        PaperRow(f'{name} backbone', backbone, False, (800, 1333), *detector),
    )


def _attention(
    name: str,
    depth: int,
    params: str,
    gflops: str,
    backbone: str = 'ResNet',
    **plugin: object,
) -> PaperRow:
    """Return the row of a classifier with a plugin after conv3."""
    cfg: dict = dict(type=backbone, depth=depth)
    if plugin:
        cfg['plugins'] = [dict(cfg=plugin, position='after_conv3')]
    return PaperRow(
        f'{name}-ResNet-{depth} classifier',
        cfg,
        True,
        (224, 224),
        params,
        gflops,
    )


PAPER_ROWS = (
    *_rows(
        'ResNet-50',
        dict(type='ResNet', depth=50),
        ('25.56', '4.122'),
        ('23.51', '88.0'),
    ),
    *_rows(
        'SGE-ResNet-50',
        dict(type='SGEResNet', depth=50),
        ('25.56', '4.127'),
        ('23.51', '88.1'),
    ),
    *_rows(
        'ResNet-101',
        dict(type='ResNet', depth=101),
        ('44.55', '7.849'),
        ('42.50', '167.9'),
    ),
    *_rows(
        'SGE-ResNet-101',
        dict(type='SGEResNet', depth=101),
        ('44.55', '7.858'),
        ('42.50', '168.1'),
    ),
    _attention('SE', 50, '28.09', '4.130', type='SE'),
    _attention('SE', 101, '49.33', '7.863', type='SE'),
    PaperRow(
        'SE-ResNet-101 backbone',
        dict(
            type='ResNet',
            depth=101,
            plugins=[dict(cfg=dict(type='SE'), position='after_conv3')],
        ),
        False,
        (800, 1333),
        '47.28',
        '168.3',
        "inconsistent with the classifier's row, counted in the same way",
    ),
    _attention('SK', 50, '26.15', '4.185', 'SKResNet'),
    _attention('SK', 101, '45.68', '7.978', 'SKResNet'),
    _attention('BAM', 50, '25.92', '4.205', 'BAMResNet'),
    _attention('BAM', 101, '44.91', '7.933', 'BAMResNet'),
    _attention('CBAM', 50, '28.09', '4.139', type='CBAM'),
    _attention('CBAM', 101, '49.33', '7.879', type='CBAM'),
)
