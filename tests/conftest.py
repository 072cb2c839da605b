import gc
import os

import pytest

# Where there is no GPU, Triton's interpreter runs the kernels. It is asked
# for before they are imported.
if not os.path.exists('/dev/nvidia0'):
    os.environ.setdefault('TRITON_INTERPRET', '1')


def pytest_addoption(parser):
    parser.addoption(
        '--data-sets',
        type=int,
        default=75,
        help='how many random data sets the engines of '
        'evaluation are compared on, of each kind',
    )


# Files and folders that take longest, longest first: at the end no core should
# work on one of them alone.
SLOWEST = (
    'tests/test_security',
    'tests/test_ops/test_backends',
    'tests/test_ops/test_triton',
    'tests/test_configs',
    'tests/test_engine/',
    'tests/test_benchmark/',
    'tests/test_deployment/test_onnx',
    'tests/test_dev/',
    'tests/test_ops/',
    'tests/test_commands/',
    'tests/test_package',
    'tests/',
)


def pytest_collection_modifyitems(items):
    def rank(item):
        starts = [item.nodeid.startswith(name) for name in SLOWEST]
        return starts.index(True) if True in starts else len(starts)

    items.sort(key=rank)


def pytest_collection_finish(session):
    from tests.helpers.quick_runs import hasten_interpreter, hasten_runs

    hasten_runs()
    if os.environ.get('TRITON_INTERPRET') == '1':
        hasten_interpreter()
    # Modules stay; to look through them takes a second in each collection.
    gc.collect()
    gc.freeze()


@pytest.fixture
def data_sets(request, record_property):
    number = request.config.getoption('--data-sets')
    record_property('data_sets', number)
    return range(number)


def pytest_terminal_summary(terminalreporter):
    number = sum(
        dict(report.user_properties).get('data_sets', 0)
        for report in terminalreporter.getreports('passed')
    )
    if number:
        terminalreporter.write_line(
            f'{number} random data sets: all engines found the same'
        )


@pytest.fixture(autouse=True)
def seeded():
    """Let every test draw the same random numbers each time."""
    import torch

    torch.manual_seed(0)


@pytest.fixture
def trace(tmp_path):
    """A path that hostile files would create; the test fails if one did."""
    yield tmp_path / 'trace'
    assert not (tmp_path / 'trace').exists()
