"""Files of exchanges with a real server, without their secrets."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from fake_vllm.redaction import pieces_without, shown_value, without
from fake_vllm.relay.call import Answers, Call, Head
from fake_vllm.relay.recorded import FORMAT, Body
from fake_vllm.relay.request import RelayedRequest


class Recorder:
    """A server whose answers are written into a folder, one file for each exchange."""

    def __init__(self, answers: Answers, folder: Path) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._answers, self._folder = answers, folder

    def ask(self, request: RelayedRequest) -> Call:
        """Return the call for a request, which is recorded.

        Raises:
            NoAnswer: there is no answer.
        """
        return RecordingCall(self._answers.ask(request), request, self._save)

    def _save(self, request: RelayedRequest, exchange: dict[str, Any]) -> None:
        text = json.dumps(exchange, ensure_ascii=False, indent=1) + "\n"
        path = request.shown_target.partition("?")[0]
        place = re.sub(r"[^a-zA-Z0-9]+", "_", path).strip("_")[:60]
        number = 1 + max(
            (int(file.name[:6]) for file in self._folder.glob("[0-9]" * 6 + "_*.json")), default=0
        )
        try:
            while True:
                try:
                    file = self._folder / f"{number:06}_{place or 'root'}.json"
                    with file.open("x", encoding="utf-8") as out:
                        out.write(text)
                    return
                except FileExistsError:
                    number += 1
        except OSError as error:
            print(f"fake-vllm: Cannot write {file}: {error.strerror}.", file=sys.stderr)


class RecordingCall(Call):
    """A call that passes on another one, and keeps what comes, with its times."""

    def __init__(
        self,
        call: Call,
        request: RelayedRequest,
        save: Callable[[RelayedRequest, dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self._call, self._request, self._save = call, request, save
        self._chunks: list[tuple[float, bytes]] = []
        self._started, self._head_at, self._saved = 0.0, 0.0, False

    def start(self, wake: Callable[[], None]) -> None:
        super().start(wake)
        self._started = monotonic()
        self._call.start(self._look)

    def close(self) -> None:
        self._look()
        self._finish("client left")
        self._call.close()

    def _look(self) -> None:
        call = self._call
        if self.head is None and call.head is not None:
            self._head_at = self._now()
            self._began(call.head)
        while data := call.take():
            self._chunks.append((self._now(), data))
            self._came(data)
        if call.error is not None:
            self._failed(call.error)
        if call.end is not None:
            self._finish(call.end)
            self._ended(call.end)

    def _now(self) -> float:
        return round((monotonic() - self._started) * 1000, 3)

    def _finish(self, end: str) -> None:
        head, request = self.head, self._request
        if self._saved or head is None:
            return
        self._saved = True
        self._save(
            request,
            {
                "format": FORMAT,
                "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
                "request": {
                    "method": request.method,
                    "path": request.shown_target,
                    "headers": dict(self._shown(request.headers.items())),
                    "body": Body.of(request.shown_body),
                },
                "response": self._response(head, end),
            },
        )

    def _response(self, head: Head, end: str) -> dict[str, Any]:
        # In the bytes of the whole body: a key may be split over chunks, and base64 would hide it.
        came = [data for _, data in self._chunks]
        kept = pieces_without(came, self._request.secrets)
        shorter = sum(map(len, came)) - sum(map(len, kept))
        return {
            "status": head.status,
            "reason": without(head.reason, self._request.secrets),
            "headers": [
                (name, str(int(text) - shorter) if _is_length(name, text) else text)
                for name, text in self._shown(head.headers)
            ],
            "head_at_ms": self._head_at,
            "chunks": [
                {"at_ms": at, **Body.of(data)}
                for (at, _), data in zip(self._chunks, kept, strict=True)
                if data
            ],
            "end": end,
            "end_at_ms": self._now(),
        }

    def _shown(self, headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Yield headers without secrets, and without the client's keys in other headers."""
        secrets = self._request.secrets
        for name, text in headers:
            yield without(name, secrets), without(shown_value(name, text), secrets)


def _is_length(name: str, text: str) -> bool:
    return name.lower() == "content-length" and text.isascii() and text.isdigit()
