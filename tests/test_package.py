import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import yaml
from mmdet.registry import MODELS

import sge_mmdet
from sge_mmdet import compatibility
from sge_mmdet.models.necks import SGE_NECKS, SGEOutputs

ROOT = Path(__file__).parents[1]
# The kernels are optional, and tested elsewhere.
WITHOUT_COMPILER = {**os.environ, 'CC': 'false', 'CXX': 'false'}
CONFIG = 'sge_mmdet::sge/faster-rcnn_r50-sge_fpn_1x_coco.py'


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of this source tree, without what builds left there."""
    folder = tmp_path_factory.mktemp('source')
    files = subprocess.run(
        ['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in files.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    """The wheel of this source tree, built without touching it."""
    out = tmp_path_factory.mktemp('wheel')
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
            source,
        ],
        env=WITHOUT_COMPILER,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob('*.whl')))


@pytest.fixture(scope='module')
def editable(source, tmp_path_factory):
    """What ``pip install -e`` puts into site-packages."""
    out = tmp_path_factory.mktemp('editable')
    subprocess.run(
        [
            sys.executable,
            '-c',
            'from setuptools.build_meta import build_editable; '
            f'build_editable({str(out)!r})',
        ],
        cwd=source,
        env=WITHOUT_COMPILER,
        check=True,
        capture_output=True,
    )
    return zipfile.ZipFile(next(out.glob('*.whl')))


@pytest.fixture(scope='module', params=['wheel', 'editable'])
def installed(request, tmp_path_factory):
    """A folder like site-packages in which this package is installed."""
    folder = tmp_path_factory.mktemp('site')
    request.getfixturevalue(request.param).extractall(folder)
    return folder


def run_installed(installed, code, cwd):
    """Run Python with the installed package, and return its output.

    Without the site module no editable install of this environment is there.
    """
    packages = sysconfig.get_paths()['purelib']
    done = subprocess.run(
        [
            sys.executable,
            '-S',
            '-W',
            'ignore',
            '-c',
            'import site, sys; '
            f'sys.path[:0] = [{str(installed)!r}, {packages!r}]; '
            f'site.addsitedir({str(installed)!r}); {code}',
        ],
        cwd=cwd,
        env={
            name: value
            for name, value in os.environ.items()
            if name != 'PYTHONPATH'
        },
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() + done.stderr.strip()


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


def test_wheel_holds_what_the_page_is_made_of(wheel):
    assets = ROOT / 'sge_mmdet' / 'evaluation' / 'interactive' / 'assets'
    names = {str(path.relative_to(ROOT)) for path in assets.iterdir()}
    assert len(names) > 3 and names <= {*wheel.namelist()}


def test_wheel_tells_type_checkers_that_it_has_types(wheel):
    assert 'sge_mmdet/py.typed' in wheel.namelist()


def test_installing_the_wheel_can_replace_neither_torch_nor_openmmlab(wheel):
    required = [
        line.split()[1]
        for line in metadata(wheel).splitlines()
        if line.startswith('Requires-Dist') and 'extra ==' not in line
    ]
    assert sorted(required) == [
        'hotcoco>=1.3;',
        'msgspec',
        'numpy',
        'plotly',
        'tqdm',
    ]


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


def test_beside_mmcv_lite_it_is_imported_and_says_what_is_missing():
    code = """
import sys
import torch
class Lite:
    def find_spec(self, name, path=None, target=None):
        if name == 'mmcv._ext':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Lite())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: (
    None if name == 'mmcv._ext' else real(name, *a))
import sge_mmdet
one = torch.ones(1, 1, 1, 1)
print(sge_mmdet.spatial_group_enhance(one, one, one, 1).shape)
try:
    sge_mmdet.SGEResNet
except ImportError as error:
    print(error)
from sge_mmdet_cli import main
main(['train', 'config.py'])
"""
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    shape, said = done.stdout.splitlines()
    assert shape == 'torch.Size([1, 1, 1, 1])'
    ask = 'needs mmcv with operators; the installed mmcv has none (mmcv-lite)'
    assert said.startswith(f'sge_mmdet.SGEResNet {ask}')
    assert done.stderr.startswith(f'error: sge-mmdet train {ask}')
    first, end = compatibility.SUPPORTED['mmcv']
    for text in said, done.stderr:
        assert f"mim install 'mmcv>={first},<{end}'" in text


def test_packages_that_are_missing_are_named_with_how_to_install_them():
    assert compatibility.describe_missing(['torch', 'mmcv']) == (
        'torch, mmcv, which cannot be imported here. "pip install -U openmim" '
        "and \"mim install 'torch>=2.0.0' 'mmcv>=2.0.0rc4,<2.2.0'\" install "
        'them'
    )


def test_mim_installs_the_versions_that_do_not_warn():
    lines = (ROOT / 'requirements' / 'mminstall.txt').read_text().splitlines()
    assert [line for line in lines if not line.startswith('#')] == [
        f'{name}>={first},<{end}'
        for name, (first, end) in sorted(compatibility.SUPPORTED.items())
        if end
    ]


def test_version_is_that_of_the_wheel(wheel):
    assert f'\nVersion: {sge_mmdet.__version__}\n' in metadata(wheel)


def test_console_command_is_in_the_wheel(wheel):
    name = next(n for n in wheel.namelist() if n.endswith('/entry_points.txt'))
    assert wheel.read(name).decode().split('\n')[:2] == [
        '[console_scripts]',
        'sge-mmdet = sge_mmdet_cli:main',
    ]
    assert 'sge_mmdet_cli/__init__.py' in wheel.namelist()


def test_scripts_in_the_wheel_can_be_executed(wheel):
    for info in wheel.infolist():
        if re.match(r'sge_mmdet/\.mim/tools/\w+\.(py|sh)$', info.filename):
            assert info.external_attr >> 16 & 0o100, info.filename


INSTALLED = """
import json, sys
import sge_mmdet
from mmengine.config import Config
from mmengine.hub import get_config
from sge_mmdet_cli import main

def end_of(*args):
    try:
        main([*args, '--work-dir', 'work'])
    except SystemExit as end:
        return end.code

name = sys.argv[1]
cfg = get_config(name)
child = Config.fromfile('child.py')
print(json.dumps(dict(
    types=[child.model.backbone.type, cfg.model.backbone.type],
    file=cfg.filename,
    train=end_of('train', name),
    mistyped=end_of('train', name.replace('1x', '1y')),
)))
"""


@pytest.fixture(scope='module')
def answers(installed, tmp_path_factory):
    """What an installed package makes of the name of a config."""
    folder = tmp_path_factory.mktemp('work')
    (folder / 'child.py').write_text(f"_base_ = '{CONFIG}'\n")
    shown = run_installed(
        installed,
        f'sys.argv[1:] = [{CONFIG!r}]; exec({INSTALLED!r})',
        folder,
    )
    return json.loads(shown.splitlines()[-1])


def test_mmengine_finds_the_configs_of_an_installed_package(
    answers, installed
):
    assert answers['types'] == ['SGEResNet', 'SGEResNet']
    assert installed.parent in Path(answers['file']).parents, (
        'of another install'
    )


def test_commands_of_an_installed_package_take_names_of_configs(answers):
    # The config is found, and its data is not.
    assert answers['train'].startswith('error: ')
    assert 'There is no folder data/coco/' in answers['train']


def test_nearest_config_of_an_installed_package_is_named(answers):
    assert answers['mistyped'].startswith('error: ')
    assert answers['mistyped'].endswith(f'; the nearest is {CONFIG}')


def test_mim_finds_each_config_by_the_name_of_its_file(wheel):
    """It looks for the name in the whole package, and takes no second one."""
    names = Counter(
        Path(name).name
        for name in wheel.namelist()
        if name.startswith('sge_mmdet/')
    )
    configs = [
        Path(name).name
        for name in wheel.namelist()
        if re.match(r'sge_mmdet/\.mim/configs/[^_].*\.py$', name)
    ]
    assert configs and all(names[name] == 1 for name in configs)


def test_metafiles_in_the_wheel_name_configs_that_are_there(wheel):
    root = 'sge_mmdet/.mim/'
    index = yaml.safe_load(wheel.read(f'{root}model-index.yml'))
    models = [
        model
        for name in index['Import']
        for model in yaml.safe_load(wheel.read(root + name))['Models']
    ]
    names = set(wheel.namelist())
    assert models and all(root + model['Config'] in names for model in models)


PUBLIC = {
    'BAM',
    'BAMResNet',
    'CBAM',
    'SGEChannelMapper',
    'SGEFPN',
    'SGEHRFPN',
    'SGEPAFPN',
    'SGEResNeXt',
    'SGEResNet',
    'SKResNet',
    'SmallObjectMetric',
    'SpatialGroupEnhance',
    'SqueezeExcitation',
    'add_sge',
    'compare',
    'compare_detections',
    'convert_checkpoint',
    'evaluate',
    'insert_sge',
    'report',
    'spatial_group_enhance',
    'spatial_group_enhance_residual',
}


def test_package_offers_its_public_names_and_no_others():
    assert {*sge_mmdet.__all__} == {'__version__', *PUBLIC}
    assert {*sge_mmdet.__all__} <= {*dir(sge_mmdet)}
    for name in PUBLIC:
        assert getattr(sge_mmdet, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sge_mmdet.nothing  # noqa: B018


def test_package_offers_every_neck_with_sge_that_is_registered():
    assert {cls.__name__ for cls in SGE_NECKS.values()} <= PUBLIC
    for name, cls in MODELS.module_dict.items():
        if issubclass(cls, SGEOutputs) and cls.__module__.startswith(
            'sge_mmdet.'
        ):
            assert getattr(sge_mmdet, name) is cls
