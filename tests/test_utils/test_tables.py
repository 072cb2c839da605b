import pytest

from sge_mmdet.utils.tables import points


@pytest.mark.parametrize(
    'difference, words',
    [
        (0.0123, '+1.2'),
        (-0.0123, '-1.2'),
        (-0.0004, '0.0'),
        (0.0004, '0.0'),
        (None, None),
    ],
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(difference, words):
    assert points(difference) == words
