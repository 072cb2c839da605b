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


@contextmanager
def open_browser():
    """Yield Chromium, as Playwright's ``Browser``."""
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
        yield browser
        browser.close()


@contextmanager
def open_page(browser, path, **options):
    """Yield a page of a report once it is drawn; fail for what it logs.

    Args:
        browser (Browser): Of :func:`open_browser`.
        path (Path): HTML file.
        **options: Options of the page, such as ``viewport``.
    """
    page = browser.new_page(**options)
    said = []
    page.on('console', lambda message: said.append(message.text))
    page.on('pageerror', lambda error: said.append(str(error)))
    page.on('dialog', lambda dialog: said.append(f'dialog {dialog.message}'))
    page.goto(path.as_uri())
    page.wait_for_selector('body[data-ready]')
    yield page
    page.close()
    assert not said
