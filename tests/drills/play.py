"""Play one drill with one style of call, and note what came of it."""

import os
import signal
import struct
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from tempfile import NamedTemporaryFile
from typing import Any

from stream_lab.http.certificates import VARIABLE, one_certificate
from tests.drills.forks import Fork, pipe
from tests.drills.link import Link, never_connects
from tests.drills.server import Entry, Server
from tests.drills.table import FROZEN, Drill
from tests.drills.victim import WARM, main
from tests.plain_sleep import PlainSleep

STARTS_WITHIN, ENDS_WITHIN = 60.0, 20.0
PLANTED_ENDS_WITHIN = 6.0
FREED_WITHIN = 10.0
HANDSHAKE = 0.3
"""Seconds into a handshake after which the server is killed."""


@dataclass(frozen=True)
class Cell:
    """A drill with a style of call, over a new connection or a pooled one."""

    drill: Drill
    style: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.drill.name}: {self.style}, {self.kind}"


@dataclass
class Outcome:
    """What came of a cell. Times are in seconds.

    Attributes:
        error: the name of the error; empty: none.
        message: its text.
        took: from the start of the call to its end.
        pieces: how many pieces of the answer the caller got.
        after: how many of them came after the deadline.
        freed: from the end of the call, or of the fault if that is later, until the server was
            free; None: it never was, or its ledger is gone.
        held: from the start of the call until the server was free; None: likewise.
        starts: requests of the call that the server has seen; None: likewise.
        left: what was left in the client's process: threads, files, tasks.
        next: the error of the next call of the same client, once the fault is over; empty: none.
        status: of the client's process.
        noise: what that wrote to its standard output and error.
        machine: how late a plain sleep was beside it.
        stuck: what the client did not come to; empty: nothing.
    """

    error: str = ""
    message: str = ""
    took: float = 0.0
    pieces: int = 0
    after: int = 0
    freed: float | None = None
    held: float | None = None
    starts: int | None = None
    left: dict[str, int] = field(default_factory=dict)
    next: str = ""
    status: int | None = None
    noise: str = ""
    machine: float = 0.0
    stuck: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Stuck(Exception):
    """Raised when the client's process does not say what it has to say next."""


class Victim:
    """The drill's side of the client's process."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._channel, theirs = pipe()
        self._noise, output = pipe(duplex=False)
        self.process = Fork(main, spec, theirs, output)
        theirs.close()
        output.close()
        self._said: dict[str, Any] = {}

    def until(self, word: str, seconds: float) -> Any:
        """Return what the process says with a word.

        Raises:
            Stuck: it does not say it in time, or has ended.
        """
        end = time.monotonic() + seconds
        while word not in self._said:
            try:
                if not self._channel.poll(max(0.0, end - time.monotonic())):
                    raise Stuck(word)
                self._said.update(self._channel.recv())
            except (EOFError, ConnectionError):
                raise Stuck(f"{word}; the process ended") from None
        return self._said[word]

    def go_on(self) -> None:
        self._channel.send(None)

    @property
    def noise(self) -> str:
        """Return what it has written to its standard output and error."""
        written = b""
        while self._noise.poll(0) and (data := os.read(self._noise.fileno(), 65536)):
            written += data
        return written.decode("utf-8", "replace")

    def close(self) -> None:
        self.process.close()
        self._channel.close()
        self._noise.close()


def play(cell: Cell, plant: str | None = None) -> Outcome:
    """Play a cell, with a defect planted in the library if one is named."""
    outcome = Outcome()
    with PlainSleep() as sleep, ExitStack() as stack:
        played = _Play(cell, plant, outcome, stack)
        try:
            played.run()
        except Stuck as error:
            outcome.stuck = str(error)
        outcome.noise = played.victim.noise
    outcome.machine = sleep.late
    return outcome


class _Play:
    def __init__(self, cell: Cell, plant: str | None, outcome: Outcome, stack: ExitStack) -> None:
        self.drill, self.outcome = cell.drill, outcome
        self.patience = ENDS_WITHIN if plant is None else PLANTED_ENDS_WITHIN
        stack.enter_context(one_certificate())
        certificates = os.environ[VARIABLE]
        flags = ["--gap-ms", "20"]
        if self.drill.secure:
            authority = stack.enter_context(NamedTemporaryFile(suffix=".pem"))  # noqa: SIM115
            flags += ["--tls-self-signed", "--tls-ca", authority.name]
            certificates = authority.name
        self.server = stack.enter_context(Server(*flags, secure=self.drill.secure))
        if not self.drill.secure:
            self.server.warm(WARM)
        self.link = stack.enter_context(Link(self.server.port))
        self.asleep = stack.enter_context(NamedTemporaryFile())  # noqa: SIM115
        self.asleep.write(struct.pack("d", 0.0))
        self.asleep.flush()
        through_link = self.drill.act in ("cut off", "deaf", "gone", "reset")
        port = self.link.port if through_link else self.server.port
        host = "localhost" if (self.drill.trouble or "").startswith("names") else "127.0.0.1"
        if self.drill.act == "no connection":
            port = stack.enter_context(never_connects())
        scheme = "https" if self.drill.secure else "http"
        spec = {
            "base_url": f"{scheme}://{host}:{port}/v1",
            "style": cell.style,
            "pooled": cell.kind == "pooled",
            "scenario": self.drill.scenario,
            "limit": self.drill.limit,
            "trouble": self.drill.trouble,
            "plant": plant,
            # The middleware's client is outside, too: its connection has two ends here.
            "pools": 3 if cell.style == "middleware" else 1,
            "hopeless": not self.drill.recovers,
            "asleep": self.asleep.name,
            "certificates": certificates,
        }
        self.victim = Victim(spec)
        stack.callback(self.victim.close)
        self.is_restarted = False

    def run(self) -> None:
        victim, drill, outcome = self.victim, self.drill, self.outcome
        victim.until("ready", STARTS_WITHIN)
        if drill.when == "before":
            self.act()
            victim.go_on()
            if drill.secure and drill.act == "kill":
                time.sleep(HANDSHAKE)
                self.server.send(signal.SIGKILL)
        else:
            victim.go_on()
            self.wait_for_the_moment()
            time.sleep(drill.after)
            self.act()
        ended = victim.until("ended", self.patience)
        self.started = ended.pop("started")
        for name, value in ended.items():
            setattr(outcome, name, value)
        over = time.monotonic()
        if self.undo():
            over = time.monotonic()
        self.look_at_the_server(over)
        outcome.left = victim.until("left", ENDS_WITHIN)
        victim.go_on()
        outcome.next = victim.until("next", ENDS_WITHIN + 30)["error"]
        outcome.status = victim.process.end(ENDS_WITHIN)

    def mine(self, entries: list[Entry]) -> list[Entry]:
        """Return the requests of the drill's call: those before and after it are warm-ups."""
        return [entry for entry in entries if entry["scenario"] != WARM]

    def wait_for_the_moment(self) -> None:
        if self.drill.when == "third piece":
            self.victim.until("third", ENDS_WITHIN)
            return
        wanted = {"accepted": "arrived", "headers": "headers", "freed": "slot_freed"}[
            self.drill.when
        ]
        found = self.server.wait_for(
            lambda entries: any(entry[wanted] is not None for entry in self.mine(entries)),
            ENDS_WITHIN,
        )
        if found is None:
            raise Stuck(self.drill.when)

    def act(self) -> None:
        """Bring the fault about."""
        act, server, link = self.drill.act, self.server, self.link
        if act == "kill":
            if self.drill.secure:
                server.send(signal.SIGSTOP)
                return
            server.send(signal.SIGKILL)
            if self.drill.when != "before":
                # At once, so that another attempt of the same call would be seen.
                self.restart()
        elif act == "stop":
            server.send(signal.SIGSTOP)
        elif act == "cut off":
            link.stop()
        elif act == "gone":
            link.stop()
            server.send(signal.SIGKILL)
        elif act == "deaf":
            link.stop(to_server=False)
        elif act == "reset":
            link.reset()
        elif act in ("suspend", "freeze client"):
            self.victim.process.send(signal.SIGSTOP)
            time.sleep(FROZEN)
            if act == "suspend":
                self.asleep.seek(0)
                self.asleep.write(struct.pack("d", FROZEN))
                self.asleep.flush()
            self.victim.process.send(signal.SIGCONT)

    def restart(self) -> None:
        self.server.restart()
        self.is_restarted = True

    def undo(self) -> bool:
        """End the fault, and return whether it lasted until now."""
        act = self.drill.act
        if act == "stop":
            self.server.send(signal.SIGCONT)
        elif act in ("cut off", "deaf"):
            self.link.resume()
        elif act in ("kill", "gone"):
            if not self.is_restarted:
                self.restart()
            if act == "gone":
                self.link.resume()
        else:
            return False
        return True

    def look_at_the_server(self, over: float) -> None:
        if self.drill.secure:
            return
        entries = self.server.wait_for(
            lambda entries: all(each["over"] is not None for each in self.mine(entries)),
            FREED_WITHIN,
        )
        if entries is None:
            self.outcome.starts = len(self.mine(self.server.entries))
            return
        mine = self.mine(entries)
        self.outcome.starts = len(mine)
        if mine:
            ends = [each["slot_freed"] or each["over"] for each in mine]
            self.outcome.freed = max(0.0, max(ends) - over)
            self.outcome.held = max(ends) - self.started
