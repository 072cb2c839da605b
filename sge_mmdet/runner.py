"""The old name of :mod:`sge_mmdet.engine`."""

from .utils.moved import moved

_HOOKS = ('ExactResumeHook', 'find_whole_checkpoint')
_ENGINE = (
    'BFloat16OptimWrapper',
    'DetectionFiles',
    'allow_mmengine_checkpoints',
    'check_config',
    'check_datasets',
    'check_model',
    'detect',
    'find_test_data',
    'load_local_checkpoint',
)
__getattr__ = moved(
    __name__,
    {
        **{name: f'sge_mmdet.engine.{name}' for name in _ENGINE},
        **{name: f'sge_mmdet.engine.hooks.{name}' for name in _HOOKS},
        'run_stock_tool': 'sge_mmdet.engine.run_upstream_tool',
    },
)
