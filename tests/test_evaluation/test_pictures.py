"""Pictures that a second process draws."""

import io
import os
import sys

import pytest
from PIL import Image

from sge_mmdet.evaluation import evaluate, pictures, plots, size_bins
from sge_mmdet.evaluation.pictures import COMMAND, Drawing, drawing
from tests.test_evaluation.test_engines import structures


@pytest.fixture(scope='module')
def result():
    return evaluate(*structures(3), size_bins('coco'))


@pytest.fixture
def command(monkeypatch):
    """A process of a command that reads files alone, on two processors."""
    monkeypatch.setitem(sys.modules, COMMAND, None)
    monkeypatch.setattr(pictures, 'usable_processors', lambda: 2)


def pixels(content):
    return Image.open(io.BytesIO(content)).tobytes()


def test_the_second_process_draws_what_the_first_does(result, command):
    with drawing() as apart:
        assert type(apart) is not Drawing
        picture = apart.submit('draw_class_bars', result, 'small')
        here = Drawing().submit('draw_class_bars', result, 'small')
        assert pixels(picture()) == pixels(here())


def test_the_first_process_draws_if_the_second_one_dies(result, command):
    with drawing() as apart:
        apart.submit('draw_errors', Fatal())
        picture = apart.submit('draw_class_bars', result, 'small')
        assert picture()[:4] == b'\x89PNG'
        # It is known to be dead by now.
        later = apart.submit('draw_class_bars', result, 'small')
        assert later() == picture()


class Fatal:
    """Ends the process that receives it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_an_error_of_a_picture_is_raised_where_it_is_asked_for(
    result, command
):
    with drawing() as apart:
        picture = apart.submit('draw_class_bars', result, 'tiny')
        with pytest.raises(ValueError, match='tiny'):
            picture()


@pytest.mark.parametrize('processors', [1, 2])
def test_no_process_is_started_elsewhere(monkeypatch, processors):
    """In a notebook it would run the notebook's main module again."""
    monkeypatch.setattr(pictures, 'usable_processors', lambda: processors)
    monkeypatch.delitem(sys.modules, COMMAND, raising=False)
    if processors == 1:
        monkeypatch.setitem(sys.modules, COMMAND, None)
    monkeypatch.setattr(pictures, 'ProcessPoolExecutor', None)
    with drawing() as chosen:
        assert type(chosen) is Drawing


def test_systems_that_cannot_start_one_do_without(monkeypatch, command):
    def refuse(*args):
        raise OSError('Function not implemented')

    monkeypatch.setattr(pictures, 'ProcessPoolExecutor', refuse)
    with drawing() as chosen:
        assert type(chosen) is Drawing


def test_an_open_file_gets_a_png(result, tmp_path):
    file = io.BytesIO()
    plots.draw_class_bars(result, 'small', file)
    plots.draw_class_bars(result, 'small', tmp_path / 'a.png')
    assert file.getvalue() == (tmp_path / 'a.png').read_bytes()
