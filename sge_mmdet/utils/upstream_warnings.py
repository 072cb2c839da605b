"""Warnings of other packages about their own code."""

import os
import re
import warnings

# Start of the message, category, and modules at fault. MMEngine imports
# pkg_resources, and reloads it by importlib, to see what is installed; the
# parts of RTMDet use old names of PyTorch.
UPSTREAM_WARNINGS = (
    (
        'pkg_resources is deprecated as an API',
        UserWarning,
        ('mmengine.utils.package_utils', 'importlib'),
    ),
    (
        '`torch.cuda.amp.autocast(args...)` is deprecated',
        FutureWarning,
        ('mmdet.models.layers.se_layer', 'mmdet.models.backbones.csp_darknet'),
    ),
)


def hide_upstream_warnings() -> None:
    """Hide warnings that only the authors of another package can mend.

    The processes that this one starts hide them too. The same warning about
    any other module, such as one of the user, is shown.
    """
    rules = [
        rule
        for rule in os.environ.get('PYTHONWARNINGS', '').split(',')
        if rule
    ]
    for message, category, modules in UPSTREAM_WARNINGS:
        for module in modules:
            warnings.filterwarnings(
                'ignore',
                re.escape(message),
                category,
                re.escape(module) + r'\Z',
            )
            rule = f'ignore:{message}:{category.__name__}:{module}'
            # Of two rules the later one counts.
            if rule not in rules:
                rules.append(rule)
    os.environ['PYTHONWARNINGS'] = ','.join(rules)
