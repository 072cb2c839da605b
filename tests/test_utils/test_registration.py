import warnings

import pytest
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import Registry

from sge_mmdet.utils.registration import register


class Ours:
    pass


class Theirs:
    pass


@pytest.fixture
def registry():
    return Registry('parts', scope='test')


def test_a_class_is_found_under_its_names(registry):
    assert register(registry)(Ours) is Ours
    register(registry, 'a', 'b')(Ours)
    assert [registry.get(name) for name in ('Ours', 'a', 'b')] == [Ours] * 3


def test_a_name_that_another_package_took_stays_its_own(registry):
    registry.register_module(name='a', module=Theirs)
    with pytest.warns(
        UserWarning, match="'a' .* is already .*Theirs, which keeps"
    ):
        register(registry, 'a', 'b')(Ours)
    assert registry.get('a') is Theirs
    assert registry.get('b') is Ours


def test_a_class_may_be_registered_again(registry):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        register(registry)(Ours)
        register(registry)(Ours)


@pytest.mark.parametrize('name', ['SE', 'CBAM', 'BAM'])
def test_names_that_others_use_are_free_in_the_root_registry(name):
    assert name not in ROOT_MODELS.module_dict
