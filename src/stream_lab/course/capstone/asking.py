"""A page's view of the service: an answer in events, with the time of each token."""

import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import httpx2

from stream_lab.http.client import direct_client

WHOLE, CUT, OPEN = "whole", "cut", "still open"


@dataclass
class Answer:
    """An answer. Times are in seconds since the request was sent.

    Attributes:
        status: The status; 0: no answer began.
        text: The body.
        tokens: The tokens of `/chat`, each with the time at which the page could show it.
        done: Whether the event `done` came, by which the page knows that the answer is complete.
        failed: Whether the event `error` came.
        ended: When it ended.
        ending: "whole" as HTTP has it, "cut", or "still open" when the page gave up.
    """

    status: int = 0
    text: str = ""
    tokens: list[tuple[float, str]] = field(default_factory=list)
    done: bool = False
    failed: bool = False
    ended: float = 0.0
    ending: str = WHOLE

    @property
    def first(self) -> float:
        """Return when the first token came; when the answer ended, if none came."""
        return self.tokens[0][0] if self.tokens else self.ended

    @property
    def shown(self) -> str:
        """Return what the page shows."""
        return "".join(text for _, text in self.tokens)

    @property
    def pause(self) -> float:
        """Return the longest time between two tokens."""
        times = [at for at, _ in self.tokens]
        return max((later - at for at, later in pairwise(times)), default=0.0)


def ask(url: str, path: str, question: str = "", *, within: float) -> Answer:
    """Send a question as the page does, and read the answer.

    Args:
        url: The address of the service.
        path: The path.
        question: The question. Empty: send GET.
        within: Seconds after which the page gives up.
    """
    answer, began = Answer(), time.monotonic()
    unzip: Any = None
    waiting = ""
    try:
        with (
            direct_client(timeout=within) as client,
            client.stream(
                "POST" if question else "GET",
                url + path,
                json={"question": question} if question else None,
                headers={"accept-encoding": "gzip"},
            ) as response,
        ):
            answer.status = response.status_code
            if response.headers.get("content-encoding") == "gzip":
                unzip = zlib.decompressobj(31)
            for data in response.iter_raw():
                at = time.monotonic() - began
                text = (unzip.decompress(data) if unzip else data).decode(errors="replace")
                answer.text += text
                waiting = _take(answer, (waiting + text).replace("\r\n", "\n"), at)
                if at > within:
                    answer.ending = OPEN
                    break
    except httpx2.ReadTimeout:
        answer.ending = OPEN
    except (httpx2.TransportError, zlib.error):
        answer.ending = CUT
    answer.ended = time.monotonic() - began
    return answer


def leaving(url: str, path: str, question: str) -> Callable[[], Callable[[], None]]:
    """Return what sends a question without waiting, and returns a function that disconnects."""

    def send() -> Callable[[], None]:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        body = json.dumps({"question": question})
        connection.request("POST", path, body, {"content-type": "application/json"})
        return connection.close

    return send


def together(calls: Sequence[Callable[[], Answer]], *, apart: float = 0.0) -> list[Answer]:
    """Run calls side by side, each `apart` seconds after the one before it."""
    answers: list[Answer | None] = [None] * len(calls)

    def run(number: int) -> None:
        time.sleep(number * apart)
        answers[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(len(calls))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return [each or Answer() for each in answers]


def _take(answer: Answer, text: str, at: float) -> str:
    """Take the complete events from a text, and return the rest."""
    *events, rest = text.split("\n\n")
    for event in events:
        name, data = _fields(event)
        if name == "done" or data == "[DONE]":
            answer.done = True
        elif name == "error":
            answer.failed = True
        elif data:
            answer.tokens.append((at, _token(data)))
    return rest


def _fields(event: str) -> tuple[str, str]:
    name, data = "", []
    for field_name, value in _lines(event):
        if field_name == "event":
            name = value
        elif field_name == "data":
            data.append(value)
    return name, "\n".join(data)


def _lines(event: str) -> Iterator[tuple[str, str]]:
    for line in event.split("\n"):
        name, _, value = line.partition(":")
        yield name, value.removeprefix(" ")


def _token(data: str) -> str:
    try:
        text = json.loads(data)
    except ValueError:
        return data
    return text if isinstance(text, str) else data
