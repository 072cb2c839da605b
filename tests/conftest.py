import sys
from pathlib import Path

import pytest

# The helper modules of the tests stand here.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def seeded():
    """Let every test draw the same random numbers each time."""
    import torch
    torch.manual_seed(0)
