"""Build script: what setup.cfg cannot say.

The wheel carries ``configs/``, ``tools/`` and ``model-index.yml`` in
``sge_mmdet/.mim``, where MIM looks for them; an editable install links them.
"""

import hashlib
import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
NATIVE = Path('sge_mmdet', 'ops', 'native')
LOOPS = Path('sge_mmdet', 'evaluation', 'native')
# Both are loaded by ctypes; without a compiler the package installs and works
# as well.
KERNELS = Extension(
    'sge_mmdet.ops.native._sge',
    [str(NATIVE / 'sge.cpp')],
    depends=sorted(map(str, NATIVE.glob('*.h'))),
    extra_compile_args=[
        '-std=c++14',
        '-O3',
        '-fopenmp-simd',
        '-fno-math-errno',
        '-fno-trapping-math',
        '-pthread',
    ],
    extra_link_args=['-pthread'],
    language='c++',
    optional=True,
)
EVALUATION = Extension(
    'sge_mmdet.evaluation.native._evaluation',
    [
        str(LOOPS / f'{name}.cpp')
        for name in ('boxes', 'matching', 'overlaps', 'weighted_ap')
    ],
    depends=sorted(map(str, LOOPS.glob('*.h'))),
    # Each product is rounded, as numpy rounds it.
    extra_compile_args=['-std=c++17', '-O3', '-ffp-contract=off'],
    language='c++',
    optional=True,
)
MIM_CONTENT = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Adds what MIM looks for to the package."""

    def run(self) -> None:
        """Copy or link it behind the modules."""
        super().run()
        editable = getattr(self, 'editable_mode', False)
        target = ROOT if editable else Path(self.build_lib)
        target = target / 'sge_mmdet' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_CONTENT:
            if editable:
                (target / name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_file():
                shutil.copy(ROOT / name, target / name)
            else:
                shutil.copytree(
                    ROOT / name,
                    target / name,
                    ignore=shutil.ignore_patterns('__pycache__'),
                )


class BuildKernels(build_ext):
    """Keeps a digest beside each library, which the loader compares.

    A library that lost its end would stop the process that loads it.
    """

    def run(self) -> None:
        """Build the libraries and write their digests."""
        super().run()
        for extension in self.extensions:
            built = Path(self.get_ext_fullpath(extension.name))
            if built.is_file():
                digest = hashlib.sha256(built.read_bytes()).hexdigest()
                built.with_name(f'{built.name}.sha256').write_text(
                    f'{digest}  {built.name}\n'
                )


def requirements(name: str) -> 'list[str]':
    """Read ``requirements/NAME.txt`` without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and line[0] not in '#-']


version = {}
exec((ROOT / 'sge_mmdet' / 'version.py').read_text(), version)
extras = {
    name: requirements(name)
    for name in ('demo', 'deployment', 'docs', 'imagenet', 'tests')
}
extras['all'] = [line for lines in extras.values() for line in lines]
setup(
    version=version['__version__'],
    install_requires=requirements('runtime'),
    extras_require=extras,
    cmdclass=dict(build_ext=BuildKernels, build_py=BuildWithMim),
    ext_modules=[KERNELS, EVALUATION],
)
