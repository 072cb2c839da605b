"""Names such as ``sge_mmdet::sge/retinanet_r50-sge_fpn_1x_coco.py``.

MMEngine takes them in ``_base_`` and in ``mmengine.hub``, for packages in a
table of its own.
"""

from mmengine.config import utils

PACKAGE = 'sge_mmdet'
# MMEngine asks for the folder of this module, which is that of the package.
# The name of the package would do in a wheel; of an editable install it would
# find the folder of the metadata, which holds no configs.
MODULE = f'{PACKAGE}.version'


def allow_config_names() -> None:
    """Let MMEngine find the configs of this package by such names."""
    # MMEngine 0.7 has the table under the other name alone.
    for table in ('MODULE2PACKAGE', 'PKG2PROJECT'):
        getattr(utils, table, {}).setdefault(PACKAGE, MODULE)
