"""The bundled fake as a process of its own, for as long as a `with` block or a notebook lasts."""

import atexit
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Self

# A kernel that is killed cannot stop its fake, so the fake stops itself: when its standard input closes, and at the latest then.
LIFETIME = 900.0
STARTS_WITHIN = 30.0


class FakeError(RuntimeError):
    """Raised when the bundled fake does not start."""


class Fake:
    """A running `fake-vllm`. `base_url` ends in /v1. Stops with `close()`, at the end of a `with` block, or with this process."""

    def __init__(self, scenario: str = "endless", *, gap: float = 0.085, model: str = "fake-model", **flags: object) -> None:
        """Start it and wait until it listens. `gap`: seconds between two tokens. `flags`: further options, as `max_num_seqs=1`."""
        command = [sys.executable, "-m", "fake_vllm.cli", "--port", "0", "--scenario", scenario, "--watch-stdin"]
        options = {"gap_ms": gap * 1000, "first_token_ms": gap * 1000, "served_model_name": model, "lifetime": LIFETIME, **flags}
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C reaches the whole group of the terminal; the fake must outlive the notebook that is still looking at it.
            start_new_session=True,
        )
        atexit.register(self.close)
        line = self._first_line()
        self.base_url = line.split()[1]
        self.model = model

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Stop the server; does nothing when it has stopped already."""
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

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
            raise FakeError(
                f"The bundled fake did not start within {STARTS_WITHIN:.0f} s; try again on a machine that is less busy."
            )
        reason = self._process.stderr.read().strip() or f"it ended with status {self._process.returncode}"
        raise FakeError(f"The bundled fake did not start: {reason}")
