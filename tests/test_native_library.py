"""Libraries that setup.py builds in C++: which of them are loaded."""

import pytest

from sge_mmdet.evaluation.native import loading as evaluation
from sge_mmdet.native_library import DIGEST_SUFFIX
from sge_mmdet.ops import native as operator

pytestmark = pytest.mark.parametrize(
    'module, name',
    [
        pytest.param(
            module,
            name,
            marks=pytest.mark.skipif(
                module.library() is None, reason='built without a C++ compiler'
            ),
        )
        for module, name in ((operator, '_sge'), (evaluation, '_evaluation'))
    ],
)


def test_library_of_another_version_is_not_loaded(module, name, monkeypatch):
    library = module.library.__wrapped__
    assert library() is not None
    monkeypatch.setattr(module, 'VERSION', module.VERSION + 1)
    with pytest.warns(UserWarning, match='another version .* pip install'):
        assert library() is None


@pytest.mark.parametrize(
    'damage',
    [
        lambda data: data[: len(data) // 2],
        lambda data: b'',
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
)
def test_damaged_library_is_not_loaded_and_named(
    module, name, monkeypatch, tmp_path, damage
):
    """A truncated one would stop the process."""
    built = next(
        path
        for path in module.FOLDER.glob(f'{name}*')
        if path.suffix != DIGEST_SUFFIX
    )
    digest = built.with_name(built.name + DIGEST_SUFFIX)
    for source in built, digest:
        tmp_path.joinpath(source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(module, 'FOLDER', tmp_path)
    load = module.library.__wrapped__
    assert load() is not None
    # A new file: the process would stop at its end without the loaded one.
    (tmp_path / built.name).unlink()
    (tmp_path / built.name).write_bytes(damage(built.read_bytes()))
    with pytest.warns(
        UserWarning,
        match=rf'{built.name} is not the file that '
        r'was built, .* pip install',
    ):
        assert load() is None
    (tmp_path / built.name).write_bytes(built.read_bytes())
    (tmp_path / digest.name).write_bytes(b'\xff')
    with pytest.warns(UserWarning, match='not the file that was built'):
        assert load() is None
    (tmp_path / digest.name).unlink()
    with pytest.warns(UserWarning, match='not the file that was built'):
        assert load() is None
