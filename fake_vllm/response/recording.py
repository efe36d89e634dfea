"""Recordings of a real endpoint's streams, with their times, for the scenario `replay`."""

import http.client
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from fake_vllm.files import ANY_FILE, Files
from fake_vllm.redaction import pieces_without, place_of, secrets_of, without
from fake_vllm.terminal import printable, shortened

MOST_OF_ERROR = 10_000  # bytes
MOST_SHOWN = 400  # characters of an error
TIMEOUT = 60.0  # seconds of silence after which a recording ends; it keeps what has arrived


class RecordingError(Exception):
    """Raised when nothing can be recorded or replayed; the text says why."""


@dataclass(frozen=True)
class Recording:
    """One streamed answer.

    Attributes:
        model: the name of the model.
        texts: the text of each event.
        gaps_ms: the milliseconds before each event; the first count from the request.
        finish_reason: the finish reason. None: the stream broke off.
    """

    model: str
    texts: list[str]
    gaps_ms: list[float]
    finish_reason: str | None

    def save(self, file: Path) -> None:
        """Write the recording into a file.

        Raises:
            RecordingError: the file cannot be written.
        """
        try:
            file.write_text(
                json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
            )
        except OSError as error:
            raise RecordingError(f"Cannot write {file}: {error.strerror}.") from None

    @classmethod
    def load(cls, file: Path, files: Files = ANY_FILE) -> "Recording":
        """Read a recording.

        Raises:
            FileRefusedError: the file is not one of `files`.
            RecordingError: it cannot be read or is not a recording.
        """
        try:
            recording = cls(**json.loads(files.read(file)))
            fits = recording.texts and len(recording.texts) == len(recording.gaps_ms)
            fits = (
                fits
                and all(isinstance(text, str) for text in recording.texts)
                and all(gap >= 0 for gap in recording.gaps_ms)
            )
        except OSError as error:
            raise RecordingError(f"Cannot read {file}: {error.strerror}.") from None
        except (TypeError, ValueError, RecursionError):
            fits = False
        if not fits:
            raise RecordingError(f"{file} is not a recording; make one with `fake-vllm record`.")
        return recording


def is_exchange(file: Path, files: Files) -> bool:
    """Tell whether a file is a recording of a whole exchange, which `relay.recorded` reads.

    Raises:
        FileRefusedError: it is not one of `files`.
    """
    try:
        value = json.loads(files.read(file))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and str(value.get("format", "")).startswith("fake-vllm exchange")


def record(base_url: str, *, model: str | None, prompt: str, max_tokens: int) -> Recording:
    """Record one streamed chat answer of an endpoint, with the key in OPENAI_API_KEY.

    Raises:
        RecordingError: the endpoint cannot be reached, refuses the request, or sends no text.
    """
    try:
        return _record(base_url, model, prompt, max_tokens)
    except RecordingError as error:
        told = str(error)
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        told = (
            f"Cannot record from {base_url}: {str(error) or type(error).__name__}. Is the server "
            "there?"
        )
    # Any of them may quote the endpoint, which may repeat the key, in part at the end.
    (kept,) = pieces_without([told.encode("utf-8", "replace")], _secrets())
    raise RecordingError(shortened(printable(kept.decode("utf-8", "replace")), MOST_SHOWN))


def _record(base_url: str, model: str | None, prompt: str, max_tokens: int) -> Recording:
    connection = _connect(base_url)
    model = model or _only_model(connection, base_url)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "stream": True,
    }
    began = monotonic()
    answer = _ask(connection, "POST", base_url, "/chat/completions", json.dumps(body).encode())
    return _listen(answer, model, began)


def _listen(answer: http.client.HTTPResponse, model: str, began: float) -> Recording:
    texts: list[str] = []
    gaps: list[float] = []
    finish, last = None, began
    try:
        for event in _events(answer):
            choice = _choice(event)
            delta, reason = choice.get("delta"), choice.get("finish_reason")
            text = delta.get("content") if isinstance(delta, dict) else None
            if reason and isinstance(reason, str):
                finish = _without_key(reason)
            if text and isinstance(text, str):
                now = monotonic()
                texts.append(text)
                gaps.append(round((now - last) * 1000, 3))
                last = now
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        pass  # the finish reason shows that the stream broke off; the recording keeps the rest
    if not texts:
        raise RecordingError("The endpoint sent no text; try another prompt.")
    kept = pieces_without([text.encode("utf-8", "replace") for text in texts], _secrets())
    return Recording(_without_key(model), [text.decode() for text in kept], gaps, finish)


def _choice(event: Any) -> dict[str, Any]:
    """Return the first choice of an event. Empty: it has none."""
    choices = event.get("choices") if isinstance(event, dict) else None
    first = choices[0] if choices and isinstance(choices, list) else None
    return first if isinstance(first, dict) else {}


def _events(answer: http.client.HTTPResponse) -> Iterator[Any]:
    while line := answer.readline():
        data = line.removeprefix(b"data:").strip()
        if line.startswith(b"data:") and data != b"[DONE]":
            yield json.loads(data)


def _connect(base_url: str) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.username is not None or parts.query or parts.fragment:
        # Not repeated, since it may have a password.
        raise RecordingError(
            f"The address of {host or place_of(base_url)} may have a path, but no user, query or "
            "fragment; the key is read from OPENAI_API_KEY."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise RecordingError(
            f"'{place_of(base_url)}' is not the address of an endpoint; write it as "
            "http://host:port/v1."
        )
    if parts.scheme == "https":
        return http.client.HTTPSConnection(
            host, port, timeout=TIMEOUT, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT)


def _key() -> str:
    """Return the endpoint's key. Empty: there is none."""
    return os.environ.get("OPENAI_API_KEY", "").strip()


def _secrets() -> list[str]:
    """Return the key, which a recording must not have. Empty: it is too short."""
    return secrets_of({"authorization": _key()})


def _without_key(text: str) -> str:
    """Return a text without the key and without halves of surrogate pairs."""
    return without(text.encode("utf-8", "replace").decode(), _secrets())


def _only_model(connection: http.client.HTTPConnection, base_url: str) -> str:
    answer = _ask(connection, "GET", base_url, "/models").read()
    try:
        name = json.loads(answer)["data"][0]["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        name = None
    if not isinstance(name, str):
        raise RecordingError("The endpoint's /models lists no model; name one with --model.")
    return name


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    base_url: str,
    path: str,
    body: bytes | None = None,
) -> http.client.HTTPResponse:
    key = _key()
    if not (key.isascii() and key.isprintable()):
        raise RecordingError(
            "The key in OPENAI_API_KEY has a character that a header cannot have; set it again."
        )
    headers = {
        "content-type": "application/json",
        **({"authorization": f"Bearer {key}"} if key else {}),
    }
    connection.request(method, urlsplit(base_url).path.rstrip("/") + path, body, headers)
    answer = connection.getresponse()
    if answer.status != 200:
        text = answer.read(MOST_OF_ERROR).decode("utf-8", "replace")
        raise RecordingError(f"The endpoint answered {answer.status} to {path}: {text}")
    return answer
