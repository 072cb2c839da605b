"""A headless Chromium for the tests of pages."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser'))), None
)
# Chromium is a program of the system, so pip cannot install it.
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None,
    reason='Chromium is missing; on Debian: apt-get install chromium',
)


WINDOW = dict(width=1280, height=720)


@contextmanager
def open_tab():
    """Yield a tab of Chromium, as Playwright's ``Page``.

    A tab that has shown a page shows the next one in half the time, since it
    keeps what it compiled of the library of plots.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                '--no-sandbox',
                '--disable-gpu',
                '--disable-background-networking',
                '--disable-component-update',
                '--disable-sync',
            ],
        )
        yield browser.new_page()
        browser.close()


@contextmanager
def open_page(tab, path, window=WINDOW, scheme='light', logs=()):
    """Yield a page of a report once it is drawn; fail for what it logs.

    Args:
        tab (Page): Of :func:`open_tab`.
        path (Path): HTML file.
        window (dict): Width and height of the window. Default: 1280 x 720.
        scheme (str): Scheme of colours, "light" or "dark". Default: "light".
        logs (sequence of str): Parts of the messages that it shall log, in
            their order. Default: none.
    """
    said = []
    listeners = dict(
        console=lambda message: said.append(message.text),
        pageerror=lambda error: said.append(str(error)),
        dialog=lambda dialog: said.append(f'dialog {dialog.message}'),
    )
    tab.set_viewport_size(window)
    tab.emulate_media(media='screen', color_scheme=scheme)
    tab.mouse.move(0, 0)
    for event, listener in listeners.items():
        tab.on(event, listener)
    try:
        tab.goto(path.as_uri())
        tab.wait_for_selector('body[data-ready]')
        yield tab
    finally:
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
    assert len(said) == len(logs), said
    for message, part in zip(said, logs):
        assert part in message
