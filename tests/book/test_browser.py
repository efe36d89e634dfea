"""Notebook 03 in a browser, with a Python for WebAssembly and without a network."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import sync_playwright

from stream_lab.processes.programs import find
from tests.book.test_built import BUILT
from tests.conftest import needs

LONGEST = 90_000.0
"""Milliseconds until the notebook must have run: a Python has to start, in a browser."""


class Quiet(SimpleHTTPRequestHandler):
    """A handler without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """The address of the book on a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(BUILT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@needs("chromium")
@pytest.mark.timeout(180)
def test_every_claim_of_the_notebook_holds_in_the_browser_without_a_network(address: str) -> None:
    foreign: list[str] = []

    def note(url: str) -> None:
        if not url.startswith((address, "data:", "blob:")):
            foreign.append(url)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find("chromium"), args=["--no-sandbox"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 2000})
        context.on("request", lambda request: note(request.url))
        page = context.new_page()
        page.goto(f"{address}/docs/index.html")
        page.get_by_role("link", name="runs in this browser").click()
        idle = page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        idle.wait_for(timeout=LONGEST)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        table = page.locator(".jp-OutputArea-output table", has_text="claim")
        table.wait_for(timeout=LONGEST)
        marks = table.locator("tbody tr td:first-child").all_text_contents()
        browser.close()
    assert foreign == []
    assert set(marks) == {"✔"}
    assert len(marks) > 5
