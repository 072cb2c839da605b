"""Images that annotations name; see docs/security.md."""

import numpy as np
import pytest
from matplotlib.image import imsave
from PIL import Image

import sge_mmdet  # noqa: F401
from sge_mmdet.utils.images import read_image
from tests.helpers.hostile_files import (
    SIZE,
    needs_weights_only,
    refusals,
)

pytestmark = needs_weights_only


def test_images_of_absurd_size_are_refused(tmp_path):
    Image.new('1', (16000, 16000)).save(tmp_path / 'bomb.png')
    (said,) = refusals('read_image(path, "bomb.png")', tmp_path)
    assert 'decompression bomb' in said


@pytest.mark.parametrize(
    'name',
    ['../secret.png', 'a/../../secret.png', '{outside}/secret.png', '', '.'],
)
def test_images_outside_their_folder_are_not_read(tmp_path, monkeypatch, name):
    (tmp_path / 'images').mkdir()
    imsave(tmp_path / 'secret.png', np.zeros((*SIZE, 3)))
    name = name.format(outside=tmp_path)
    monkeypatch.chdir(tmp_path / 'images')
    for folder in tmp_path / 'images', '.':
        with pytest.raises(ValueError, match='leads out of the folder'):
            read_image(folder, name)


def test_names_of_images_are_shown_as_a_terminal_may_have_them(tmp_path):
    for name in '\x1b[2J', '../\x1b[2J':
        with pytest.raises((FileNotFoundError, ValueError), match=r'\?\[2J'):
            read_image(tmp_path, name)


def test_images_below_their_folder_are_read_also_through_links(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    imsave(tmp_path / 'elsewhere' / '0.png', np.zeros((*SIZE, 3)))
    (tmp_path / 'images').symlink_to(tmp_path / 'elsewhere')
    assert read_image(tmp_path / 'images', '0.png').shape[:2] == SIZE
    (tmp_path / 'images' / 'page.png').write_text('<html>')
    with pytest.raises(
        ValueError, match=r'page\.png in .* cannot be read as an image'
    ):
        read_image(tmp_path / 'images', 'page.png')
