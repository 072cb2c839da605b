"""Registries of the scope ``sge_mmdet``, each a child of MMDetection's.

What this package registers is in MMDetection's registries, and these hold
nothing. MMEngine looks for them where a config takes a variable of a base
named ``sge_mmdet::...``, which it marks with ``_scope_='sge_mmdet'``; the
search goes on in the parent.
"""

from mmdet import registry as upstream
from mmengine.registry import Registry

for _name in dir(upstream):
    _parent = getattr(upstream, _name)
    if isinstance(_parent, Registry):
        globals()[_name] = Registry(
            _parent.name,
            parent=_parent,
            scope='sge_mmdet',
            locations=['sge_mmdet'],
        )
