"""The second labelled set of stacks, in the form of `stacks.py`.

The labels follow docs/doctor.md. Where its causes have no word of their own for a fault, a comment
says which cause helps the engineer on call.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stream_lab.doctor import Cause, Target
from stream_lab.processes import Gateway, Gunicorn, Haproxy, Nginx
from tests.stream_lab.doctor.second_answers import (
    ALB,
    ANTHROPIC,
    ANTHROPIC_END,
    BLOCKED,
    CLOUDFLARE,
    DATA,
    DONE,
    GEMINI,
    LINES,
    NAMED,
    OVERLOADED,
    RESPONSES,
    Answer,
    at_the_second,
    bytes_only,
    chunked,
    first_only,
    head,
    hinted,
    in_bursts,
    listening,
    measured,
    page,
    queued,
    silent_forever,
    unchunked,
    zipped,
    zipped_at_once,
)
from tests.stream_lab.doctor.stacks import GAP, Patient, Stack


@dataclass(frozen=True)
class SecondStack(Stack):
    """A stack; `also` are causes that are as true as the first."""

    also: tuple[Cause, ...] = ()


def raw(answer: Answer) -> Callable[[], AbstractContextManager[Patient]]:
    """A server that sends exactly these bytes."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with listening(answer) as url:
            yield Target.of(f"{url}/chat"), None

    return made


def raw_through(
    part: Callable[[str], Any], answer: Answer, *, ask_direct: bool = True
) -> Callable[[], AbstractContextManager[Patient]]:
    """The same with something before it; asked directly as well, or only through it."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with listening(answer) as url, part(url) as before:
            direct = Target.of(f"{url}/chat") if ask_direct else None
            yield Target.of(f"{before.url}/chat"), direct

    return made


class Old(BaseHTTPRequestHandler):
    """A handler of Python's own server, which answers in HTTP/1.0."""

    limit = len(DATA)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for event in DATA[: self.limit]:
            self.wfile.write(event)
            time.sleep(GAP)
        if self.limit == len(DATA):
            self.wfile.write(DONE)

    def log_message(self, *_: object) -> None:
        pass


class OldThatFails(Old):
    """The same, which stops after nine events."""

    limit = 9


def old(handler: type[Old]) -> Callable[[], AbstractContextManager[Patient]]:
    """Python's own server."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield Target.of(f"http://127.0.0.1:{server.server_port}/chat"), None
            server.shutdown()

    return made


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
    """Stream from a WSGI application: /long for 6 s, anything else for one."""
    if environ["PATH_INFO"] == "/":
        start("204 No Content", [])
        return
    start("200 OK", [("Content-Type", "text/event-stream")])
    for event in DATA * (6 if environ["PATH_INFO"] == "/long" else 1):
        yield event
        time.sleep(GAP)
    yield DONE


def behind_gunicorn(path: str, *options: str) -> Callable[[], AbstractContextManager[Patient]]:
    """The WSGI application in gunicorn."""

    @contextmanager
    def made() -> Iterator[Patient]:
        with Gunicorn(f"{__name__}:wsgi", *options) as gunicorn:
            yield Target.of(gunicorn.url + path), None

    return made


def unbuffered(upstream: str) -> Nginx:
    return Nginx(upstream, "proxy_buffering off;")


def undelayed(upstream: str) -> Haproxy:
    return Haproxy(upstream, "option http-no-delay")


def gateway(upstream: str) -> Gateway:
    return Gateway(upstream, largest=1200)


HEALTHY = [
    SecondStack(
        "a byte order mark, CR LF, comments and unknown fields",
        Cause.HEALTHY,
        raw(
            chunked(
                b"\xef\xbb\xbf: welcome\r\n\r\n",
                b"retry: 3000\r\nx-trace: 7\r\n\r\n",
                *[event.replace(b"\n", b"\r\n") for event in [*DATA, DONE]],
            )
        ),
    ),
    SecondStack(
        "lines that end in CR alone",
        Cause.HEALTHY,
        raw(chunked(*[event.replace(b"\n", b"\r") for event in [*DATA, DONE]])),
    ),
    SecondStack(
        "named events and an event `done`",
        Cause.HEALTHY,
        raw(chunked(*NAMED, b"event: done\ndata: {}\n\n")),
    ),
    SecondStack(
        "OpenAI's Responses",
        Cause.HEALTHY,
        raw(
            chunked(
                *RESPONSES, b'event: response.completed\ndata: {"type":"response.completed"}\n\n'
            )
        ),
    ),
    SecondStack(
        "OpenAI's Responses, ended by the limit on tokens",
        Cause.HEALTHY,
        raw(
            chunked(
                *RESPONSES,
                b'event: response.incomplete\ndata: {"type":"response.incomplete","response":'
                b'{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"}}}\n\n',
            )
        ),
    ),
    SecondStack("Anthropic's events", Cause.HEALTHY, raw(chunked(*ANTHROPIC, *ANTHROPIC_END))),
    SecondStack(
        "Anthropic's events behind nginx",
        Cause.HEALTHY,
        raw_through(unbuffered, chunked(*ANTHROPIC, *ANTHROPIC_END)),
        program="nginx",
    ),
    SecondStack("Gemini's events, without an end marker", Cause.HEALTHY, raw(chunked(*GEMINI))),
    SecondStack(
        "lines of JSON, as of Ollama",
        Cause.HEALTHY,
        raw(
            chunked(
                *LINES,
                b'{"response":"","done":true,"done_reason":"stop"}\n',
                before=head("Transfer-Encoding: chunked", kind="application/x-ndjson"),
            )
        ),
    ),
    SecondStack(
        "trailers after the last chunk",
        Cause.HEALTHY,
        raw(
            chunked(
                *DATA,
                DONE,
                before=head("Transfer-Encoding: chunked", "Trailer: X-Checksum"),
                end=b"0\r\nX-Checksum: 9f2c\r\n\r\n",
            )
        ),
    ),
    SecondStack("events compressed one by one", Cause.HEALTHY, raw(zipped)),
    SecondStack("a body of known length", Cause.HEALTHY, raw(measured(len(DATA) + 1))),
    SecondStack("early hints before the answer", Cause.HEALTHY, raw(hinted)),
    SecondStack("HTTP/1.0", Cause.HEALTHY, raw(unchunked(*DATA, DONE))),
    SecondStack(
        "HTTP/1.0 that closes a second late", Cause.HEALTHY, raw(unchunked(*DATA, DONE, pause=1.0))
    ),
    SecondStack("Python's own server", Cause.HEALTHY, old(Old)),
    SecondStack(
        "HTTP/1.0 behind HAProxy",
        Cause.HEALTHY,
        raw_through(undelayed, unchunked(*DATA, DONE)),
        program="haproxy",
    ),
    SecondStack(
        "WSGI in threads of gunicorn",
        Cause.HEALTHY,
        behind_gunicorn("/chat", "--worker-class=gthread", "--threads=8"),
    ),
]

BROKEN = [
    SecondStack(
        "Anthropic's events without the last ones", Cause.MISSING_DONE, raw(chunked(*ANTHROPIC))
    ),
    SecondStack(
        "OpenAI's Responses without the last event", Cause.MISSING_DONE, raw(chunked(*RESPONSES))
    ),
    SecondStack(
        "Anthropic, overloaded in mid-stream",
        Cause.SERVER_ENDED,
        raw(chunked(*ANTHROPIC, OVERLOADED)),
    ),
    SecondStack(
        "OpenAI's Responses, failed in mid-stream",
        Cause.SERVER_ENDED,
        raw(
            chunked(
                *RESPONSES,
                b'event: response.failed\ndata: {"type":"response.failed","response":{"status":'
                b'"failed","error":{"code":"server_error","message":"The model failed."}}}\n\n',
            )
        ),
    ),
    SecondStack(
        "an error object and [DONE]",
        Cause.SERVER_ENDED,
        raw(
            chunked(*DATA, b'data: {"error":{"message":"CUDA out of memory","code":500}}\n\n', DONE)
        ),
    ),
    SecondStack(
        "lines of JSON that are reset",
        Cause.SERVER_ENDED,
        raw(
            chunked(
                *LINES,
                before=head("Transfer-Encoding: chunked", kind="application/x-ndjson"),
                end=None,
            )
        ),
    ),
    SecondStack("a body shorter than its length", Cause.SERVER_ENDED, raw(measured(12))),
    # In HTTP/1.0 an answer that breaks off and one that lacks its end marker are the same bytes.
    SecondStack(
        "Python's own server that fails",
        Cause.SERVER_ENDED,
        old(OldThatFails),
        also=(Cause.MISSING_DONE,),
    ),
    SecondStack(
        "a cut inside an event at the same second", Cause.TOTAL_CUT, raw(at_the_second), watch=6.0
    ),
    # No cause names a limit on bytes. The server ends the answer, whatever counts.
    SecondStack("a cut after the same number of bytes", Cause.SERVER_ENDED, raw(bytes_only)),
    SecondStack(
        "a gateway that cuts Anthropic's events after 1200 bytes",
        Cause.PROXY_ENDED,
        raw_through(gateway, chunked(*ANTHROPIC, *ANTHROPIC_END)),
        "proxied",
    ),
    # No cause names a limit on requests. The first stream was ended by its server.
    SecondStack("a cut of the first stream only", Cause.SERVER_ENDED, raw(first_only)),
    # gunicorn's time-out ends a sync worker after a time, whatever it sends; the server ends it, too.
    SecondStack(
        "sync workers of gunicorn and their time-out",
        Cause.TOTAL_CUT,
        behind_gunicorn("/long", "--workers=4", "--timeout=2"),
        watch=8.0,
        also=(Cause.SERVER_ENDED,),
    ),
    SecondStack("Anthropic's pings only", Cause.KEEPALIVE_ONLY, raw(silent_forever), watch=4.0),
    SecondStack("comments of a queue, then tokens", Cause.SLOW_FIRST_TOKEN, raw(queued), watch=8.0),
    SecondStack("Anthropic's events in bursts", Cause.BUFFERED, raw(in_bursts), watch=8.0),
    # The server's framework compresses the whole answer: from outside it is one body.
    SecondStack(
        "events compressed as one body",
        Cause.NOT_STREAMING,
        raw(zipped_at_once),
        also=(Cause.BUFFERED,),
    ),
    SecondStack(
        "Cloudflare's page 524",
        Cause.HTTP_ERROR,
        raw(page("524 <none>", CLOUDFLARE, "Server: cloudflare")),
    ),
    SecondStack(
        "the page 504 of an AWS load balancer",
        Cause.HTTP_ERROR,
        raw(page("504 Gateway Time-out", ALB, "Server: awselb/2.0")),
    ),
    SecondStack(
        "nginx's page 502",
        Cause.HTTP_ERROR,
        raw_through(unbuffered, lambda _: [], ask_direct=False),
        program="nginx",
    ),
    SecondStack(
        "Envoy without a healthy server",
        Cause.HTTP_ERROR,
        raw(
            page(
                "503 Service Unavailable", "no healthy upstream", "server: envoy", kind="text/plain"
            )
        ),
    ),
    # No cause names a redirect. It is neither an error nor a stream, so either word helps.
    SecondStack(
        "a redirect to a login",
        Cause.HTTP_ERROR,
        raw(page("302 Found", "", "Location: /login?next=/chat")),
        also=(Cause.NOT_SSE,),
    ),
    SecondStack(
        "a redirect to the path with a slash",
        Cause.HTTP_ERROR,
        raw(page("307 Temporary Redirect", "", "Location: /chat/")),
        also=(Cause.NOT_SSE,),
    ),
    SecondStack(
        "no key",
        Cause.HTTP_ERROR,
        raw(
            page(
                "401 Unauthorized",
                '{"detail":"Not authenticated"}',
                "WWW-Authenticate: Bearer",
                kind="application/json",
            )
        ),
    ),
    SecondStack(
        "the page 403 of a firewall",
        Cause.HTTP_ERROR,
        raw(page("403 Forbidden", BLOCKED, "Server: cloudflare")),
    ),
    # The status says that all is well; the engineer on call reads an error.
    SecondStack(
        "an error object as the whole answer",
        Cause.HTTP_ERROR,
        raw(
            page(
                "200 OK",
                '{"error":{"message":"The model is overloaded.","type":"server_error"}}',
                kind="application/json",
            )
        ),
    ),
]

STACKS = [*HEALTHY, *BROKEN]
