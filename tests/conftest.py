import os
import sys
from pathlib import Path

import pytest

# Where there is no GPU, Triton's interpreter runs the kernels. It is asked
# for before they are imported.
if not os.path.exists('/dev/nvidia0'):
    os.environ.setdefault('TRITON_INTERPRET', '1')

# The helper modules of the tests stand here.
sys.path.insert(0, str(Path(__file__).parent))


def pytest_addoption(parser):
    parser.addoption('--data-sets', type=int, default=75,
                     help='how many random data sets the engines of '
                     'evaluation are compared on, of each kind')


@pytest.fixture
def data_sets(request):
    return range(request.config.getoption('--data-sets'))


@pytest.fixture(autouse=True)
def seeded():
    """Let every test draw the same random numbers each time."""
    import torch
    torch.manual_seed(0)
