"""Recordings of whole exchanges: their files, and their answers with the recorded times.

A file is one JSON object; docs/fake_vllm.md describes it.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fake_vllm.files import ANY_FILE, Files
from fake_vllm.relay.call import Call, CallEnd, Head, NoAnswer
from fake_vllm.relay.request import RelayedRequest
from fake_vllm.terminal import printable, shortened

FORMAT: Final = "fake-vllm exchange 1"


class Body(BaseModel):
    """Some bytes: text where they are UTF-8, or else base64."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    base64: str | None = None

    @classmethod
    def of(cls, data: bytes) -> dict[str, str]:
        """Return the JSON of some bytes."""
        try:
            return {"text": data.decode()}
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}

    @property
    def data(self) -> bytes:
        if self.text is not None:
            return self.text.encode()
        return base64.b64decode(self.base64 or "")


class Chunk(Body):
    """Bytes of a body that came together.

    Attributes:
        at_ms: the milliseconds since the request.
    """

    at_ms: Annotated[float, Field(ge=0)]


class AskedPart(BaseModel):
    """The request of an exchange."""

    model_config = ConfigDict(frozen=True)

    method: str
    path: str
    headers: dict[str, str] = {}
    body: Body = Body(text="")


class AnswerPart(BaseModel):
    """The answer of an exchange; times are milliseconds since the request."""

    model_config = ConfigDict(frozen=True)

    status: Annotated[int, Field(ge=200, le=599)]
    reason: str = ""
    headers: list[tuple[str, str]] = []
    head_at_ms: Annotated[float, Field(ge=0)] = 0.0
    chunks: list[Chunk] = []
    end: Literal["complete", "closed", "reset", "client left"] = "complete"
    end_at_ms: Annotated[float, Field(ge=0)] = 0.0


class RecordedExchange(BaseModel):
    """A request and its answer, as one file has them."""

    model_config = ConfigDict(frozen=True)

    format: Literal["fake-vllm exchange 1"]
    request: AskedPart
    response: AnswerPart

    def matches(self, request: RelayedRequest) -> bool:
        """Tell whether method, path and body are the same; JSON is compared as JSON.

        Where the recorded client sent its key, this one may send its own.
        """
        own = self.request
        if (own.method, own.path) != (request.method, request.shown_target):
            return False
        if own.body.data in (request.body, request.shown_body):
            return True
        if request.value is None:
            return False
        try:
            recorded = json.loads(own.body.data)
        except (ValueError, RecursionError):
            return False
        shown = request.shown_value
        return recorded == request.value or (shown is not None and recorded == shown)


class RecordingFileError(ValueError):
    """Raised when a file is not the recording of an exchange; the text names it."""


def load(file: Path, files: Files = ANY_FILE) -> RecordedExchange:
    """Read a file.

    Raises:
        FileRefusedError: it is not one of `files`.
        RecordingFileError: it cannot be read, or it is not the recording of an exchange.
    """
    try:
        return RecordedExchange.model_validate_json(files.read(file))
    except OSError as error:
        raise RecordingFileError(f"Cannot read {file}: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = shortened(printable(".".join(map(str, first["loc"])))) or "it"
        raise RecordingFileError(
            f"{file} is not the recording of an exchange: {place}: {first['msg']}. Make one with "
            "--upstream URL --record FOLDER."
        ) from None


class RecordedCall(Call):
    """An answer from a file, byte for byte, with its times."""

    def __init__(self, exchange: RecordedExchange, speed: float = 1.0) -> None:
        super().__init__()
        self._answer, self._speed = exchange.response, speed
        self._timer: asyncio.TimerHandle | None = None
        self._began_at = 0.0
        self._chunks = iter(self._answer.chunks)

    def start(self, wake: Callable[[], None]) -> None:
        super().start(wake)
        self._began_at = asyncio.get_running_loop().time()
        self._at(self._answer.head_at_ms, self._send_head)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _at(self, milliseconds: float, act: Callable[[], None]) -> None:
        at = self._began_at + milliseconds / 1000 / self._speed
        self._timer = asyncio.get_running_loop().call_at(at, act)

    def _send_head(self) -> None:
        answer = self._answer
        self._began(Head(answer.status, answer.reason, list(answer.headers)))
        self._next()

    def _next(self) -> None:
        if (chunk := next(self._chunks, None)) is None:
            self._at(self._answer.end_at_ms, self._finish)
        else:
            self._at(chunk.at_ms, lambda: self._send(chunk))

    def _send(self, chunk: Chunk) -> None:
        self._came(chunk.data)
        self._next()

    def _finish(self) -> None:
        # If the client left, the recording does not know how the answer would have ended.
        ends: dict[str, CallEnd] = {"complete": "complete", "reset": "reset"}
        self._ended(ends.get(self._answer.end, "closed"))


class OneRecording(NamedTuple):
    """One exchange, which answers any request, `speed` times as fast as it was recorded."""

    exchange: RecordedExchange
    speed: float

    def ask(self, request: RelayedRequest) -> Call:
        return RecordedCall(self.exchange, self.speed)


class Recordings:
    """The exchanges of a folder, which answer the same requests again."""

    def __init__(self, folder: Path) -> None:
        """Read all files of a folder.

        Raises:
            RecordingFileError: the folder cannot be read, has no recording, or one is broken.
        """
        self._folder = folder
        try:
            files = sorted(file for file in folder.iterdir() if file.suffix == ".json")
        except OSError as error:
            raise RecordingFileError(f"Cannot read {folder}: {error.strerror}.") from None
        if not files:
            raise RecordingFileError(
                f"{folder} has no recording; make some with --upstream URL --record {folder}."
            )
        self._exchanges = [load(file) for file in files]
        self._used = [0] * len(files)

    def ask(self, request: RelayedRequest) -> Call:
        """Return the recorded answer to a request.

        Of several recordings of the same request, the one played least often is next.

        Raises:
            NoAnswer: there is none.
        """
        fitting = [number for number, each in enumerate(self._exchanges) if each.matches(request)]
        if not fitting:
            raise NoAnswer(self._missing(request))
        chosen = min(fitting, key=lambda number: self._used[number])
        self._used[chosen] += 1
        return RecordedCall(self._exchanges[chosen])

    def _missing(self, request: RelayedRequest) -> str:
        asked = f"{request.method} {request.shown_target}"
        known: Iterable[str] = (
            f"{each.request.method} {each.request.path}" for each in self._exchanges
        )
        same = sum(each == asked for each in known)
        there = f"{same} with other bodies" if same else "none for this path"
        return (
            f"No recording in {self._folder.name} answers {asked} with this body; there are "
            f"{len(self._exchanges)} recordings, {there}. Record it with --upstream and --record."
        )
