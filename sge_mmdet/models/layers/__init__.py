"""The SGE layer, registered as a plugin, and checks of plugins."""

from ...utils.moved import moved
from .plugins import PLUGIN_POSITIONS, check_plugins
from .spatial_group_enhance import SpatialGroupEnhance

__all__ = ['PLUGIN_POSITIONS', 'SpatialGroupEnhance', 'check_plugins']

__getattr__ = moved(
    __name__,
    {
        'BAM': 'sge_mmdet.models.baselines.BAM',
        'CBAM': 'sge_mmdet.models.baselines.CBAM',
        'SelectiveKernel': 'sge_mmdet.models.baselines.SelectiveKernel',
        'SqueezeExcitation': 'sge_mmdet.models.baselines.SqueezeExcitation',
    },
)
