"""A fake-vllm in its own process, and the commands that it takes."""

import asyncio
import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from fake_vllm.starter import STARTER_KEY
from fake_vllm.testing._asking import Asker, Unreachable
from fake_vllm.testing._error import FakeVllmError
from fake_vllm.testing._requests import LedgerView, Request
from fake_vllm.testing._when import When

LIFETIME = 900.0
"""Seconds after which a fake stops itself; it also stops when its standard input closes.

A process that is killed cannot stop its fake.
"""
STARTS_WITHIN = 30.0
ENDS_WITHIN = 5.0
LOOKS_AGAIN = 0.02
"""Seconds after which a wait looks again at running requests, whose counts change all the time."""


class FakeVllm:
    """A running `fake-vllm`, which stops with `close()`, its `with` block, or this process.

    Attributes:
        base_url: the address, which ends in /v1.
        root: the address without /v1.
        uds: the path of its Unix socket, over which clients ask for `base_url`. None: it listens on
            TCP.
        model: the name of the model.
        aio: the same waits and commands for a test in an event loop, which they do not block:
            `await fake.aio.until_freed()`.
    """

    def __init__(
        self,
        scenario: str | None = None,
        *,
        gap: float | None = None,
        model: str | None = None,
        rules: Sequence[Mapping[str, Any]] = (),
        **flags: object,
    ) -> None:
        """Start the fake and wait until it listens.

        Args:
            scenario: the scenario. None: that of the file in `config`, or `finite`.
            gap: the seconds between two tokens. None: those of the file, or 0.01.
            model: the name of the model. None: that of the file, or "fake-model".
            rules: rules for some requests, as in the configuration file.
            flags: further options, for example `max_num_seqs=1`, `tls_self_signed=True` or
                `config="fake.yaml"`.

        Raises:
            FakeVllmError: the fake does not start; the text has its output.
        """
        options = {
            "scenario": scenario,
            "gap_ms": None if gap is None else gap * 1000,
            "served_model_name": model,
            "rules": json.dumps(list(rules)) if rules else None,
            "lifetime": LIFETIME,
            **flags,
        }
        self._options = [part for each in options.items() for part in _flag(*each)]
        self._key = token_urlsafe(18)
        self.aio = AsyncCommands(self)
        self._start(port=0)

    def _start(self, port: int) -> None:
        command = [sys.executable, "-m", "fake_vllm", "--port", str(port), "--watch-stdin"]
        # A file and not a pipe: nothing reads it while the server runs, and a full pipe blocks.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [*command, *self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            # Not a flag, which other users of the machine could see.
            env={**os.environ, STARTER_KEY: self._key},
            # Ctrl-C reaches the whole group of the terminal, and the client may still need the
            # server.
            start_new_session=True,
        )
        atexit.register(self.close)
        line = self._first_line()
        at = line.partition(": ")[2].partition("/v1 serves '")[0]
        self.uds = at.removeprefix("unix:") if at.startswith("unix:") else None
        self.root = at if self.uds is None else "http://localhost"
        self.base_url = f"{self.root}/v1"
        self._asker = Asker(self.root, self.uds, self._key)
        self.model = line.partition("/v1 serves '")[2].partition("', scenario ")[0]
        self._ledger = LedgerView(self._ask)

    @property
    def errors(self) -> str:
        """Return what the server has written to its standard error."""
        if not self._errors.closed:
            self._errors.seek(0)
            self._said = self._errors.read().decode("utf-8", "replace")
        return self._said

    @property
    def pid(self) -> int:
        return self._process.pid

    def play(self, scenario: str) -> None:
        """Change the server's scenario, for later requests that name none.

        Raises:
            FakeVllmError: the scenario is wrong; the text suggests similar names.
        """
        self._ask("/scenario", "PUT", scenario.encode())

    def when(
        self,
        *,
        prompt: str | None = None,
        model: str | None = None,
        path: str | None = None,
        stream: bool | None = None,
        headers: Mapping[str, str] | None = None,
        turn: int | str | None = None,
        tool_result: bool | str | None = None,
        attempt: int | str | None = None,
        call: int | str | None = None,
    ) -> When:
        """Return the requests that match all conditions; `.answer(...)` says what they get.

        Args:
            prompt: words that the last user message contains. None, here and below: any.
            model: the model that the request names.
            path: the path, for example "/v1/responses".
            stream: whether the answer is streamed.
            headers: headers, and words that their values contain.
            turn: the number of user messages so far: 2, "2-4" or "2-".
            tool_result: whether the last message is a tool's result, or words in it. None: any,
                but an answer with tool calls is not given to a tool's result.
            attempt: the client's attempt, by its header `x-stainless-retry-count`.
            call: the number of the request among those that match the other conditions.
        """
        conditions = {name: what for name, what in locals().items() if name != "self"}
        return When(conditions, lambda rule: self._ask("/rules", "POST", rule))

    def clear(self) -> None:
        """Forget all requests that are over, and count attempts from 1 again."""
        self._ask("/ledger", "DELETE")

    def reset(self) -> None:
        """End all requests, empty the ledger, and go back to the first scenario and rules.

        A server whose engine has died is revived. If its process has ended, a new one takes its
        place and its port.
        """
        try:
            self._ask("/reset", "POST", b"")
        except Unreachable:
            self.wait_for_exit(ENDS_WITHIN)
            self.close()
            self._start(urlsplit(self.root).port or 0)

    def wait_for_exit(self, timeout: float = 10.0) -> int:
        """Return the exit status of the server's process, once it has ended.

        Raises:
            FakeVllmError: it was still running after `timeout` seconds.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise FakeVllmError(f"The fake was still running after {timeout:g} s.") from None

    @property
    def requests(self) -> list[Request]:
        """Return the ledger, oldest entry first."""
        return self._ledger.look()

    def wait_for(self, is_so: Callable[[Request], object], timeout: float = 5.0) -> Request:
        """Return the newest request for which `is_so` is true, as soon as there is one.

        Raises:
            FakeVllmError: there was none within `timeout` seconds; the text has the ledger.
        """
        until = time.monotonic() + timeout
        wait = 0.0
        while True:
            entries = self._ledger.look(wait=wait)
            for entry in reversed(entries):
                if is_so(entry):
                    return entry
            left = until - time.monotonic()
            if left <= 0:
                raise FakeVllmError(
                    f"No request met the condition within {timeout:g} s. The ledger: {entries}"
                )
            running = any(entry.over is None for entry in entries)
            wait = min(left, LOOKS_AGAIN) if running else left

    def until_started(self, timeout: float = 5.0) -> Request:
        """Return the newest request that has had a slot."""
        return self.wait_for(lambda entry: entry.started is not None, timeout)

    def until_freed(self, timeout: float = 5.0) -> Request:
        """Return the newest request whose slot is free again."""
        return self.wait_for(lambda entry: entry.slot_freed is not None, timeout)

    def until_over(self, timeout: float = 5.0) -> Request:
        """Return the newest request whose answer has ended, in any way."""
        return self.wait_for(lambda entry: entry.over is not None, timeout)

    def close(self) -> None:
        """Stop the server, if it has not stopped already."""
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _ = self.errors
        for file in (self._process.stdin, self._process.stdout, self._errors):
            if file is not None:
                file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(
        self, path: str, method: str = "GET", body: bytes | None = None, *, timeout: float = 10
    ) -> Any:
        return self._asker.ask(path, method, body, timeout)

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        until = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < until and self._process.poll() is None:
            ready, _, _ = select.select([self._process.stdout], [], [], 0.1)
            if ready and (line := self._process.stdout.readline()):
                return line
        if self._process.poll() is None:
            self.close()
            raise FakeVllmError(
                f"fake-vllm did not start within {STARTS_WITHIN:.0f} s; "
                "try again on a machine that is less busy."
            )
        self.close()
        reason = self.errors.strip() or f"it ended with status {self._process.returncode}"
        raise FakeVllmError(f"fake-vllm did not start: {reason}")


class AsyncCommands:
    """The waits and commands of a `FakeVllm`, awaited; the event loop goes on meanwhile."""

    def __init__(self, fake: FakeVllm) -> None:
        self._fake = fake

    async def play(self, scenario: str) -> None:
        """Change the server's scenario, for later requests that name none."""
        await asyncio.to_thread(self._fake.play, scenario)

    async def clear(self) -> None:
        """Forget all requests that are over, and count attempts from 1 again."""
        await asyncio.to_thread(self._fake.clear)

    async def reset(self) -> None:
        """End all requests, empty the ledger, and go back to the first scenario and rules."""
        await asyncio.to_thread(self._fake.reset)

    async def requests(self) -> list[Request]:
        """Return the ledger, oldest entry first."""
        return await asyncio.to_thread(lambda: self._fake.requests)

    async def wait_for(self, is_so: Callable[[Request], object], timeout: float = 5.0) -> Request:
        """Return the newest request for which `is_so` is true, as soon as there is one."""
        return await asyncio.to_thread(self._fake.wait_for, is_so, timeout)

    async def until_started(self, timeout: float = 5.0) -> Request:
        """Return the newest request that has had a slot."""
        return await asyncio.to_thread(self._fake.until_started, timeout)

    async def until_freed(self, timeout: float = 5.0) -> Request:
        """Return the newest request whose slot is free again."""
        return await asyncio.to_thread(self._fake.until_freed, timeout)

    async def until_over(self, timeout: float = 5.0) -> Request:
        """Return the newest request whose answer has ended, in any way."""
        return await asyncio.to_thread(self._fake.until_over, timeout)


def _flag(name: str, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [flag, str(value)]
