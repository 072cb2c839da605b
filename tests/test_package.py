import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

import sge_mmdet
from sge_mmdet import compatibility

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel of this source tree, built without touching it."""
    out = tmp_path_factory.mktemp('wheel')
    files = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in files.splitlines():
        if (ROOT / name).is_file():
            (out / 'src' / name).parent.mkdir(parents=True, exist_ok=True)
            (out / 'src' / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            'wheel',
            '--no-deps',
            '--no-build-isolation',
            '-w',
            out,
            out / 'src',
        ],
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob('*.whl')))


def metadata(wheel):
    name = next(n for n in wheel.namelist() if n.endswith('/METADATA'))
    return wheel.read(name).decode()


def test_wheel_carries_configs_and_tools_where_mim_looks(wheel):
    names = set(wheel.namelist())
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert f'sge_mmdet/.mim/{path.relative_to(ROOT)}' in names
    assert 'sge_mmdet/.mim/model-index.yml' in names


def test_wheel_holds_every_module_and_no_test(wheel):
    names = set(wheel.namelist())
    for path in (ROOT / 'sge_mmdet').rglob('*.py'):
        if '.mim' not in path.parts:
            assert str(path.relative_to(ROOT)) in names
    assert not any(name.startswith('tests') for name in names)


def test_wheel_tells_type_checkers_that_it_has_types(wheel):
    assert 'sge_mmdet/py.typed' in wheel.namelist()


def test_installing_the_wheel_can_replace_neither_torch_nor_openmmlab(wheel):
    required = [
        line.split()[1]
        for line in metadata(wheel).splitlines()
        if line.startswith('Requires-Dist') and 'extra ==' not in line
    ]
    assert sorted(required) == ['hotcoco>=1.3;', 'msgspec', 'numpy', 'tqdm']


@pytest.mark.parametrize(
    'name, found, warns',
    [
        ('mmcv', '2.2.0', True),
        ('mmcv', '2.0.0rc4', False),
        ('mmdet', '2.28.0', True),
        ('mmdet', '3.1.0', False),
        ('torch', '1.13.1+cu117', True),
        ('torch', '2.13.0+cpu', False),
    ],
)
def test_unsupported_version_warns_with_what_is_supported(
    monkeypatch, name, found, warns
):
    monkeypatch.setattr(
        compatibility,
        'version',
        lambda asked: (
            found
            if asked == name
            else {
                'torch': '2.13.0',
                'mmengine': '0.10.7',
                'mmcv': '2.1.0',
                'mmdet': '3.3.0',
            }[asked]
        ),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        compatibility.warn_of_unsupported_versions()
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == warns
    if warns:
        assert f'supports {name}>=' in messages[0]
        assert f'found {name} {found}' in messages[0]


def test_mim_installs_the_versions_that_do_not_warn():
    lines = (ROOT / 'requirements' / 'mminstall.txt').read_text().splitlines()
    assert [line for line in lines if not line.startswith('#')] == [
        f'{name}>={first},<{end}'
        for name, (first, end) in sorted(compatibility.SUPPORTED.items())
        if end
    ]


def test_version_is_that_of_the_wheel(wheel):
    assert f'\nVersion: {sge_mmdet.__version__}\n' in metadata(wheel)
