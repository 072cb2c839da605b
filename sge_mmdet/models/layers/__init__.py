"""The SGE layer, registered as a plugin."""

from ...utils.moved import moved
from .spatial_group_enhance import SpatialGroupEnhance

__all__ = ['SpatialGroupEnhance']

__getattr__ = moved(
    __name__,
    {
        'BAM': 'sge_mmdet.models.baselines.BAM',
        'CBAM': 'sge_mmdet.models.baselines.CBAM',
        'SelectiveKernel': 'sge_mmdet.models.baselines.SelectiveKernel',
        'SqueezeExcitation': 'sge_mmdet.models.baselines.SqueezeExcitation',
    },
)
