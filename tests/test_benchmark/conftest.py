import pytest

from tests.helpers.scripts import TOOLS


@pytest.fixture(autouse=True)
def beside(monkeypatch):
    """The scripts find the modules beside them, as when they are run."""
    monkeypatch.syspath_prepend(str(TOOLS / 'benchmark'))
