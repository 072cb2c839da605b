"""What is asked of a config."""
from mmengine.config import Config


def get_model(cfg: Config) -> dict:
    """Return a config's model.

    Args:
        cfg (Config): Config of a detector.

    Raises:
        ValueError: If it has none.
    """
    model = cfg.get('model')
    if not isinstance(model, dict):
        raise ValueError('The config has no model; give the config of a '
                         'detector, not one of its _base_ parts')
    return model
