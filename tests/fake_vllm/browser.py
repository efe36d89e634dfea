"""A headless Chromium, driven by its DevTools: the text of a page after a while."""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Page:
    """One open page."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sent = 0

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        self._sent += 1
        command = {
            "id": self._sent,
            "method": "Runtime.evaluate",
            "params": {"expression": expression, "returnByValue": True},
        }
        self._connection.send(json.dumps(command))
        while (answer := json.loads(self._connection.recv())).get("id") != self._sent:
            pass
        return answer["result"]["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20.0) -> None:
        """Return when the expression is true.

        Raises:
            TimeoutError: it was not for so long; with the page's text.
        """
        until = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > until:
                raise TimeoutError(f"{expression} in {self.evaluate('document.body.innerText')!r}")
            time.sleep(0.05)


@contextmanager
def opened(url: str, profile: Path) -> Iterator[Page]:
    """A page in a browser of its own. `profile`: an empty folder for it."""
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-sync",
    ]
    command = [
        str(CHROMIUM),
        *flags,
        f"--user-data-dir={profile}",
        "--remote-debugging-port=0",
        "--remote-allow-origins=*",
        "about:blank",
    ]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(profile / "DevToolsActivePort")
        with _DIRECT.open(
            urllib.request.Request(f"http://127.0.0.1:{port}/json/new?{url}", method="PUT"),
            timeout=20,
        ) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        connection = websocket.create_connection(address, timeout=20)
        try:
            yield Page(connection)
        finally:
            connection.close()
    finally:
        browser.terminate()
        try:
            browser.wait(timeout=10)
        except subprocess.TimeoutExpired:
            browser.kill()
            browser.wait()


def _port(file: Path) -> int:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError("Chromium did not start.")
