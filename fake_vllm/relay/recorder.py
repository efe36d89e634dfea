"""Files of exchanges with a real server, without their secrets."""

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from fake_vllm.redaction import secrets_of, shown_value, without, without_secrets
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
        text = without(text, secrets_of(request.headers, request.query))
        place = re.sub(r"[^a-zA-Z0-9]+", "_", request.target.partition("?")[0]).strip("_")[:60]
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
        self._chunks: list[dict[str, Any]] = []
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
            self._chunks.append({"at_ms": self._now(), **Body.of(data)})
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
                    "headers": without_secrets(request.headers),
                    "body": Body.of(request.body),
                },
                "response": self._response(head, end),
            },
        )

    def _response(self, head: Head, end: str) -> dict[str, Any]:
        headers = [[name, shown_value(name, text)] for name, text in head.headers]
        return {
            "status": head.status,
            "reason": head.reason,
            "headers": headers,
            "head_at_ms": self._head_at,
            "chunks": self._chunks,
            "end": end,
            "end_at_ms": self._now(),
        }
