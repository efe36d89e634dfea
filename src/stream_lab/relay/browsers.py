"""What a real browser does with answers: it leaves, comes back, or stays away."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from fastapi import FastAPI

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.release import Release, wait_while, watch_release
from stream_lab.processes.browser import Browser
from stream_lab.processes.serving import serve

if TYPE_CHECKING:  # Playwright is an extra
    from playwright.sync_api import Page

Result = TypeVar("Result")

PAGE = "/openapi.json"  # any page of the server will do: its scripts may send requests there
COMES_BACK_WITHIN = 10.0  # seconds; Chromium waits three, or as long as `retry` says
STAYS_AWAY_FOR = 1.0  # seconds; five times the `retry` of the feeds

FETCH = """path => {
    window.controller = new AbortController();
    fetch(path, {method: "POST", headers: {"content-type": "application/json"},
                 body: JSON.stringify({question: "Why?"}), signal: controller.signal})
        .catch(error => window.ended = error.name);
}"""
LISTEN = """feeds => {
    window.sources = {};
    for (const [name, [path, closes]] of Object.entries(feeds)) {
        const source = sources[name] = new EventSource(path);
        source.addEventListener("done", () => { if (closes) source.close(); });
    }
}"""
CLOSED = """() => Object.keys(sources).filter(
    name => sources[name].readyState == EventSource.CLOSED)"""
TALK = """path => {
    window.heard = 0;
    window.code = null;
    window.talk = new WebSocket(location.origin.replace("http", "ws") + path);
    talk.onmessage = () => heard += 1;
    talk.onclose = event => code = event.code;
}"""


def abort(page: "Page") -> None:
    """Abort the request, as a stop button does."""
    page.evaluate("controller.abort()")


def navigate(page: "Page") -> None:
    """Open another page."""
    page.goto("about:blank")


@dataclass(frozen=True)
class Restarted:
    """What a page saw of a restart.

    Attributes:
        asked_again: the paths that the page requested from the new server.
        close_code: the code with which the WebSocket was closed. None: it is open.
    """

    asked_again: Sequence[str]
    close_code: int | None


class Tab:
    """A Chromium that starts in the background and does one thing after the other."""

    def __init__(self) -> None:
        """Start the browser, without waiting for it."""
        # Playwright wants all of its calls from one thread, in which no loop runs.
        self._thread = ThreadPoolExecutor(1)
        self._browser: Future[Browser] = self._thread.submit(Browser)

    def leave(
        self, app: FastAPI, path: str, leave: Callable[["Page"], None], *, gpu: Endpoint
    ) -> Release:
        """Request an answer, leave in the middle, and watch whether the GPU stops.

        Args:
            app: the application between the browser and the GPU.
            path: the path to request.
            leave: `abort` or `navigate`.
            gpu: the server whose work is watched.
        """

        def play() -> Release:
            with serve(app) as served:
                page = self._page(served.url)

                def ask() -> Callable[[], None]:
                    page.evaluate(FETCH, path)
                    return lambda: leave(page)

                return watch_release(gpu, ask, after=0.3, watch=1.0)

        return self._run(play)

    def listen(self, app: FastAPI, feeds: Mapping[str, tuple[str, bool]]) -> set[str]:
        """Read feeds with `EventSource`, and return those that the page has closed.

        Args:
            app: the application; its list `state.asked` has the name of each feed it was asked for.
            feeds: by name, the path, and whether the page closes the feed at the event `done`.
        """

        def play() -> set[str]:
            asked = app.state.asked
            with serve(app) as served:
                page = self._page(served.url)
                page.evaluate(LISTEN, {name: list(feed) for name, feed in feeds.items()})

                def closed() -> set[str]:
                    return set(page.evaluate(CLOSED))

                wait_while(
                    lambda: any(asked.count(n) < 2 for n in feeds if n not in closed()),
                    patience=COMES_BACK_WITHIN,
                    every=0.05,
                )
                return closed()

        return self._run(play)

    def restart(self, app: FastAPI, *, events: str, socket: str) -> Restarted:
        """Read an answer with `EventSource` and one over a WebSocket, and restart the server.

        Args:
            app: the application; its list `state.asked` has the paths it was asked for.
            events: the path of the feed.
            socket: the path of the WebSocket.
        """

        def play() -> Restarted:
            with serve(app) as served:
                page = self._page(served.url)
                page.evaluate(LISTEN, {"feed": [events, False]})
                page.evaluate(TALK, socket)
                wait_while(lambda: page.evaluate("heard") < 3, patience=5)
            port = int(served.url.rpartition(":")[2])
            before = len(app.state.asked)
            with serve(app, port=port):
                wait_while(lambda: len(app.state.asked) == before, patience=COMES_BACK_WITHIN)
                # The page has to be given turns meanwhile.
                page.wait_for_timeout(STAYS_AWAY_FOR * 1000)
                again = list(dict.fromkeys(app.state.asked[before:]))
                return Restarted(again, page.evaluate("code"))

        return self._run(play)

    def close(self) -> None:
        """Close the browser."""
        self._run(self._browser.result().close)
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _page(self, url: str) -> "Page":
        return self._browser.result().page(url + PAGE)

    def _run(self, play: Callable[[], Result]) -> Result:
        return self._thread.submit(play).result()
