"""Config names such as ``sge_mmdet::sge/retinanet_r50-sge_fpn_1x_coco.py``.

MMEngine accepts such names in ``_base_`` and in ``mmengine.hub``, for the
packages in one of its tables.
"""

from mmengine.config import utils

PACKAGE = 'sge_mmdet'
# MMEngine uses the folder of this module, which is the folder of the package.
# With the name of the package itself, MMEngine would find the folder of the
# metadata for an editable install, which has no configs.
MODULE = f'{PACKAGE}.version'


def allow_config_names() -> None:
    """Let MMEngine find the configs of this package by their names."""
    # The table is called PKG2PROJECT in MMEngine 0.7.
    for table in ('MODULE2PACKAGE', 'PKG2PROJECT'):
        getattr(utils, table, {}).setdefault(PACKAGE, MODULE)
