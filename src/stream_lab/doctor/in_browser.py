"""One request of a browser's EventSource, as a transcript like that of a raw socket.

Chromium reports each event with its time over the DevTools protocol (domain Network), also events
with a name, for which a page would need a listener of that name. Each event is written down again
as Server-Sent Events, so the same facts and rules apply. A comment is not reported.
"""

import time
from collections.abc import Callable
from typing import Any

from stream_lab.doctor.probe import Transcript
from stream_lab.doctor.target import Target, TargetError
from stream_lab.http.capture import End
from stream_lab.http.intake import Intake, TooMuch
from stream_lab.processes.browser import Browser

STEP = 50.0  # milliseconds in which events are collected
EMPTY = "<!doctype html><title>empty</title>"
LISTEN = (
    "url => { const s = new EventSource(url); s.onerror = () => s.close(); window.source = s; }"
)
RESETS = ("ERR_CONNECTION_RESET", "ERR_CONNECTION_ABORTED", "ERR_HTTP2_PROTOCOL_ERROR")
MAY_SEND = {"cookie", "accept"}
"""Headers that an EventSource sends or that a page's cookies become."""


def check(target: Target) -> None:
    """Check that an EventSource can send a request.

    Raises:
        TargetError: it cannot; the text says why, and what to do.
    """
    if target.socket:
        raise TargetError("--browser examines events over http; leave it out for a WebSocket.")
    if target.method != "GET" or target.body:
        raise TargetError(
            "A browser's EventSource sends only GET without a body; leave out --browser, "
            "or give the address of a stream that answers a GET."
        )
    if others := sorted({name for name, _ in target.headers} - MAY_SEND):
        raise TargetError(
            f"A browser's EventSource cannot send the header {', '.join(others)}; "
            "give a cookie with --cookie, or leave out --browser."
        )


def listen_in_browser(
    target: Target,
    watch: float,
    *,
    on_piece: Callable[[Transcript], float | None] | None = None,
    hold: float = 0.0,
) -> Transcript:
    """Open an EventSource in Chromium, and listen until it ends, for at most `watch` seconds.

    The page has the origin of the address, so CORS plays no part. The arguments are those of
    `probe.listen`; `hold` has no effect.

    Raises:
        TargetError: an EventSource cannot send the request.
        MissingPart: Chromium is not installed.
        MissingExtra: Playwright is not installed.
    """
    check(target)
    transcript = Transcript(target=target)
    origin = f"http{'s' * target.tls}://{target.authority}"
    with Browser() as browser:
        page = browser.page("about:blank", ignore_https_errors=target.insecure)
        for name, value in target.headers:
            if name == "cookie":
                pairs = [each.strip().partition("=") for each in value.split(";") if "=" in each]
                page.context.add_cookies(
                    [{"name": key, "value": text, "url": origin} for key, _, text in pairs]
                )
        page.route(f"{origin}/", lambda route: route.fulfill(body=EMPTY, content_type="text/html"))
        page.goto(f"{origin}/")
        page.unroute_all()
        network = _Network(transcript)
        session = page.context.new_cdp_session(page)
        for event, handler in network.handlers().items():
            session.on(event, handler)
        session.send("Network.enable")
        transcript.began = time.monotonic()
        page.evaluate(LISTEN, target.url)
        seen = 0
        while not network.is_over and time.monotonic() - transcript.began < watch:
            page.wait_for_timeout(STEP)
            if len(transcript.pieces) > seen and on_piece is not None:
                seen = len(transcript.pieces)
                if (enough := on_piece(transcript)) is not None:
                    watch = min(watch, enough)
    if not network.is_over:
        transcript.ended = min(watch, time.monotonic() - transcript.began)
    return transcript


class _Network:
    """The events of Chromium's network, written into a transcript."""

    def __init__(self, transcript: Transcript) -> None:
        self._heard = transcript
        self._intake = Intake()
        self._request = ""
        self._sent = 0.0  # on Chromium's clock
        self.is_over = False

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {
            "Network.requestWillBeSent": self._began,
            "Network.responseReceived": self._head,
            "Network.eventSourceMessageReceived": self._event,
            "Network.loadingFinished": self._finished,
            "Network.loadingFailed": self._failed,
        }

    def _began(self, event: dict[str, Any]) -> None:
        if not self._request and event.get("type") == "EventSource":
            self._request, self._sent = event["requestId"], event["timestamp"]

    def _head(self, event: dict[str, Any]) -> None:
        if event["requestId"] == self._request:
            answer = event["response"]
            self._heard.status = answer["status"]
            self._heard.head_at = event["timestamp"] - self._sent
            self._heard.headers = {key.lower(): text for key, text in answer["headers"].items()}

    def _event(self, event: dict[str, Any]) -> None:
        if event["requestId"] != self._request or self.is_over:
            return
        named = event["eventName"]
        name = "" if named in ("", "message") else f"event: {named}\n"
        lines = "".join(f"data: {line}\n" for line in event["data"].split("\n"))
        at = event["timestamp"] - self._sent
        try:
            data = self._intake.take(f"{name}{lines}\n".encode(errors="replace"))
        except TooMuch as error:
            self._over(event, End.WATCHED, str(error))
        else:
            self._heard.pieces.append((at, data))

    def _finished(self, event: dict[str, Any]) -> None:
        if event["requestId"] == self._request:
            self._over(event, End.WHOLE, "")

    def _failed(self, event: dict[str, Any]) -> None:
        if event["requestId"] != self._request:
            return
        why = str(event.get("errorText", ""))
        if not self._heard.status:
            is_tls = "CERT" in why or "SSL" in why
            self._over(event, End.NO_TLS if is_tls else End.NO_CONNECTION, why)
        elif event.get("canceled") or "ERR_ABORTED" in why:
            # An answer that is not a stream of events, which the browser drops.
            self._over(event, End.WHOLE, why)
        else:
            self._over(event, End.RESET if why.endswith(RESETS) else End.CLOSED, why)

    def _over(self, event: dict[str, Any], end: End, why: str) -> None:
        self._heard.ending, self._heard.error = end, why
        self._heard.ended = event["timestamp"] - self._sent
        self.is_over = True
