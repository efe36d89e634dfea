"""The exercises of notebook 10: nginx's directives, a handler's headers, limits that agree."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from stream_lab.course.exercise import Wrong, exercise
from stream_lab.http.capture import AT_ONCE, CUT, WHOLE, Capture, read
from stream_lab.processes import MissingPart, Nginx, serve
from stream_lab.processes.process import ProcessError

IN_HTTP = (
    "gzip on;",
    "gzip_types text/plain text/event-stream application/json;",
    "gzip_min_length 0;",
    "proxy_read_timeout 700ms;",
)
PAUSE = 1.3  # seconds

IDLE, TOTAL = 60.0, 300.0  # seconds; the load balancer's limits
STEP = 20.0  # seconds; the longest step that cannot be interrupted
ANSWER = 120.0  # seconds that an answer may take
NAMES = ("model", "application", "proxy_read_timeout", "comment_every")


@exercise(
    "10.1",
    hints=(
        "There are two faults: nginx ends the stream in the pause, and gzip collects the tokens.",
        "A directive in a location replaces that of the `http` block. Which one is the limit on "
        "silence, and which one makes gzip collect?",
    ),
    idea="`proxy_read_timeout` longer than the pause, and `proxy_buffering off` (or no gzip). Each "
    "directive ends with a semicolon.",
)
async def directives(answer: object) -> None:
    """Check lines for nginx's location by a stream through a real nginx."""
    heard = await _through_nginx(_lines(answer), {"content-type": "text/plain"}, pause=PAUSE)
    if heard.end == CUT:
        other = [name for name in ("proxy_send_timeout", "send_timeout") if name in str(answer)]
        hint = f" `{other[0]}` is about another direction." if other else ""
        raise Wrong(f"nginx still ends the stream in the pause.{hint}")
    if heard.end != WHOLE:
        raise Wrong(
            f"nginx answered with status {heard.status}. Write only the lines that go into "
            "the location; it has its `proxy_pass` already."
        )
    if heard.manner == AT_ONCE:
        raise Wrong("The stream is whole, and all tokens arrive at once: gzip still collects them.")


@exercise(
    "10.2",
    hints=(
        "Three readers look at the headers: EventSource at the type, nginx at whether it may "
        "collect, and caches at whether they may keep the answer. Which header speaks to each?",
        "Section 3 has the header by which an application keeps nginx from collecting. "
        "`Cache-Control` speaks to caches, and a length is a promise that a stream cannot keep.",
    ),
    idea="Content type `text/event-stream`, `Cache-Control: no-cache` or `no-store`, "
    "`X-Accel-Buffering: no`, and no length.",
)
async def headers(answer: object) -> None:
    """Check a handler's headers by a stream of events through a real nginx."""
    if not isinstance(answer, Mapping) or not all(
        isinstance(each, str) for pair in answer.items() for each in pair
    ):
        raise Wrong("Write a dictionary from the names of headers to texts.")
    named = {name.lower(): text for name, text in answer.items()}
    for name in ("connection", "transfer-encoding"):
        if name in named:
            raise Wrong(f"`{name}` belongs to the connection: the server sets it, not a handler.")
    if "content-length" in named:
        raise Wrong("The length of a stream is not known when its headers are sent.")
    kind = named.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "text/event-stream":
        raise Wrong(
            f"EventSource refuses an answer of the type {kind or 'text/plain'}: "
            "events have a content type of their own."
        )
    heard = await _through_nginx((), named)
    if heard.end != WHOLE or heard.manner == AT_ONCE:
        raise Wrong(
            "Through nginx all events arrive at once: gzip collects them, and no header of yours "
            "tells nginx not to."
        )
    if not re.search(r"\b(no-cache|no-store|private)\b", named.get("cache-control", "").lower()):
        raise Wrong(
            "Nothing forbids a shared cache to keep the events and send them to other readers."
        )


@exercise(
    "10.3",
    hints=(
        "Begin at the load balancer, which is fixed, and go inwards. Which limits bound the whole, "
        "and which bound a silence?",
        "Between two limits on the whole there must be more than the longest step. In the shortest "
        "limit on silence there must be room for two comments.",
    ),
    idea="model + 20 s < application, application + 20 s < 300 s, and two comments within the "
    "shorter of 60 s and proxy_read_timeout.",
)
def limits(answer: object) -> None:
    """Check limits by the two rules of the section "Limits that agree"."""
    if not isinstance(answer, Mapping):
        raise Wrong(f"Write a dictionary with the keys {', '.join(NAMES)}.")
    if missing := [name for name in NAMES if name not in answer]:
        raise Wrong(f"There is no {missing[0]!r} in it.")
    values = [answer[name] for name in NAMES]
    if not all(isinstance(each, (int, float)) and each > 0 for each in values):
        raise Wrong("Each limit is a positive number of seconds.")
    model, application, silence, comment = values
    if model < ANSWER:
        raise Wrong(f"An answer may take {ANSWER:g} s, and the model's deadline ends it earlier.")
    if application >= TOTAL:
        raise Wrong("The load balancer is first: the client gets a broken connection, not a 504.")
    if model >= application:
        raise Wrong("The model's deadline is the inner one: it must come before the application's.")
    if application - model <= STEP:
        raise Wrong(
            f"A step of {STEP:g} s can delay the model's deadline beyond the application's: "
            "the margin is too small."
        )
    if TOTAL - application <= STEP:
        raise Wrong(
            f"A step of {STEP:g} s can delay the application's deadline beyond the load "
            "balancer's limit: the margin is too small."
        )
    if 2 * comment >= min(IDLE, silence):
        which = "the load balancer's limit on silence" if silence >= IDLE else "proxy_read_timeout"
        raise Wrong(
            f"If one comment is lost, {which} ends the stream: the second must come before it."
        )


def _lines(answer: object) -> tuple[str, ...]:
    if isinstance(answer, str):
        return (answer,)
    if isinstance(answer, (list, tuple)) and all(isinstance(each, str) for each in answer):
        return tuple(answer)
    raise Wrong("Write the directives as a string.")


async def _through_nginx(
    lines: tuple[str, ...], headers: Mapping[str, str], *, pause: float = 0.0
) -> Capture:
    """Stream a text through an nginx with the lines of the exercise, and these."""
    return await asyncio.to_thread(_stream, lines, headers, pause)


def _stream(lines: tuple[str, ...], headers: Mapping[str, str], pause: float) -> Capture:
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    async def words() -> AsyncIterator[str]:
        for number in range(10):
            yield f"data: word {number}\n\n"
            await asyncio.sleep(0.04 + (pause if number == 5 else 0))

    async def answer() -> Any:
        return StreamingResponse(words(), headers=dict(headers))

    app.add_api_route("/", answer, response_model=None)
    with serve(app) as service:
        try:
            with Nginx(service.url, *lines, http=IN_HTTP) as nginx:
                return read(nginx.url + "/", headers={"Accept-Encoding": "gzip"})
        except MissingPart as error:
            raise Wrong(f"This check needs nginx. {error}") from None
        except ProcessError as error:
            said = re.sub(r"^.*\] \S+ |^.*\]\s\S+\s| in \S+$", "", str(error).strip())
            raise Wrong(f"nginx refuses these lines: {said}.") from None
