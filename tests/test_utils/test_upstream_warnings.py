"""Other packages' warnings about themselves, and all others."""

import subprocess
import sys
import warnings

import pytest

from sge_mmdet.utils.upstream_warnings import hide_upstream_warnings

MESSAGE = 'pkg_resources is deprecated as an API. See https://setuptools'

AUTOCAST = '`torch.cuda.amp.autocast(args...)` is deprecated. Please use'


@pytest.fixture(autouse=True)
def caught(monkeypatch):
    """Whoever runs these tests may have rules of their own."""
    monkeypatch.setenv('PYTHONWARNINGS', 'default')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('default')
        hide_upstream_warnings()
        hide_upstream_warnings()
        yield caught


CASES = [
    (MESSAGE, UserWarning, 'mmengine.utils.package_utils', False),
    (MESSAGE, UserWarning, 'importlib', False),
    (MESSAGE, UserWarning, 'importlib.mine', True),
    (MESSAGE, UserWarning, 'my_module', True),
    (MESSAGE, FutureWarning, 'importlib', True),
    ('my layer is slow', UserWarning, 'importlib', True),
    (AUTOCAST, FutureWarning, 'mmdet.models.layers.se_layer', False),
    (AUTOCAST, FutureWarning, 'my_module', True),
]
WARN = 'import warnings; warnings.warn_explicit({!r}, {}, "f", 1, {!r})'


@pytest.mark.parametrize('message, category, module, shown', CASES)
def test_warnings_of_named_modules_alone_are_hidden(
    message, category, module, shown, caught
):
    warnings.warn_explicit(message, category, 'f', 1, module)
    assert len(caught) == shown


def test_processes_that_are_started_hide_the_same():
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            '\n'.join(
                WARN.format(message, category.__name__, module)
                for message, category, module, _ in CASES
            ),
        ],
        capture_output=True,
        text=True,
    )
    assert done.stderr.count('Warning: ') == sum(case[-1] for case in CASES)
