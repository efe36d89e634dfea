"""A fake-vllm in its own process, for tests of LLM clients.

    with FakeVllm("stall:after=3") as fake:
        client = OpenAI(base_url=fake.base_url, api_key="-")
        ...
        assert fake.until_freed().tokens_after_left == 0

In pytest, the fixture `fake_vllm` returns one that the session shares and each test resets.
"""

import atexit
import json
import select
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from fake_vllm.engine.ledger import Entry

__all__ = ["Entry", "FakeVllm", "FakeVllmError"]

LIFETIME = 900.0
"""Seconds after which a fake stops itself; it also stops when its standard input closes.

A process that is killed cannot stop its fake.
"""
STARTS_WITHIN = 30.0


def _direct() -> urllib.request.OpenerDirector:
    # It talks to its own process on this machine, so the certificate does not matter.
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )


class FakeVllmError(RuntimeError):
    """Raised when the server does not start or a wait fails; the text says why."""


class FakeVllm:
    """A running `fake-vllm`, which stops with `close()`, its `with` block, or this process.

    Attributes:
        base_url: the address, which ends in /v1.
        root: the address without /v1.
        model: the name of the model.
    """

    def __init__(
        self,
        scenario: str = "finite",
        *,
        gap: float = 0.01,
        model: str = "fake-model",
        **flags: object,
    ) -> None:
        """Start the fake and wait until it listens.

        Args:
            scenario: the scenario.
            gap: the seconds between two tokens.
            model: the name of the model.
            flags: further options, for example `max_num_seqs=1` or `tls_self_signed=True`.

        Raises:
            FakeVllmError: the fake does not start; the text has its output.
        """
        options = {
            "scenario": scenario,
            "gap_ms": gap * 1000,
            "served_model_name": model,
            "lifetime": LIFETIME,
            **flags,
        }
        command = [sys.executable, "-m", "fake_vllm", "--port", "0", "--watch-stdin"]
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            command += (
                []
                if value is None or value is False
                else [flag]
                if value is True
                else [flag, str(value)]
            )
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches the whole group of the terminal, and the client may still need the
            # server.
            start_new_session=True,
        )
        atexit.register(self.close)
        self.base_url = self._first_line().split()[1]
        self.root = self.base_url.removesuffix("/v1")
        self.model = model
        self._opener = _direct()

    @property
    def pid(self) -> int:
        return self._process.pid

    def play(self, scenario: str) -> None:
        """Change the server's scenario, for later requests that name none."""
        self._ask("/scenario", "PUT", scenario.encode())

    def clear(self) -> None:
        """Forget all requests, and count attempts from 1 again."""
        self._ask("/ledger", "DELETE")

    @property
    def requests(self) -> list[Entry]:
        """Return the ledger, oldest entry first."""
        return [Entry(**entry) for entry in self._ask("/ledger")["requests"]]

    def wait_for(self, is_so: Callable[[Entry], object], timeout: float = 5.0) -> Entry:
        """Return the newest request for which `is_so` is true, as soon as there is one.

        Raises:
            FakeVllmError: there was none within `timeout` seconds; the text has the ledger.
        """
        until = time.monotonic() + timeout
        while True:
            entries = self.requests
            for entry in reversed(entries):
                if is_so(entry):
                    return entry
            if time.monotonic() > until:
                raise FakeVllmError(
                    f"No request met the condition within {timeout:g} s. The ledger: {entries}"
                )
            time.sleep(0.005)

    def until_started(self, timeout: float = 5.0) -> Entry:
        """Return the newest request that has had a slot."""
        return self.wait_for(lambda entry: entry.started is not None, timeout)

    def until_freed(self, timeout: float = 5.0) -> Entry:
        """Return the newest request whose slot is free again."""
        return self.wait_for(lambda entry: entry.slot_freed is not None, timeout)

    def until_over(self, timeout: float = 5.0) -> Entry:
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
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

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
        self, path: str, method: str = "GET", body: bytes | None = None, type: str = "text/plain"
    ) -> Any:
        with self._opener.open(
            urllib.request.Request(self.root + path, body, {"content-type": type}, method=method),
            timeout=10,
        ) as answer:
            return json.load(answer)

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
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
        reason = (
            self._process.stderr.read().strip()
            or f"it ended with status {self._process.returncode}"
        )
        raise FakeVllmError(f"fake-vllm did not start: {reason}")
