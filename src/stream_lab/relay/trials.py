"""Trials with gunicorn: requests side by side, signals in the middle, and the log afterwards."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.plain_sleep import PlainSleep
from stream_lab.experiment.verdict import STARVED
from stream_lab.http.capture import WHOLE, Capture, read, side_by_side
from stream_lab.processes.gunicorn import Gunicorn
from stream_lab.relay.neighbours import FLOWS, flow

ASYNC, SYNC = "stream_lab.relay.scaled:app", "stream_lab.relay.scaled_sync:app"
LOOKS_AFTER_WORKERS = 1.5  # seconds; gunicorn does so once a second
LATE = 0.5
"""Seconds. With --timeout 2, uvicorn's worker is killed if its heartbeat is a second late."""
BEGINS_WITHIN = 1.0  # seconds until the first token of a healthy stream
PLAYS = 3  # at most, if the machine stands still
STREAM = "/text"


@dataclass(frozen=True)
class Trial:
    """A gunicorn and its requests.

    Each request is sent half a second after the answer to the previous one has begun.

    Attributes:
        options: gunicorn's options, such as "-k sync --timeout 2".
        paths: the paths of the requests.
        signals: sent one after the other, each in the middle of the requests, which are sent anew.
            Empty: the requests are sent once, without a signal.
        app: the application, as "module:variable".
    """

    options: str
    paths: tuple[str, ...]
    signals: tuple[Callable[[Gunicorn], None], ...] = ()
    app: str = ASYNC


@dataclass(frozen=True)
class Played:
    """A trial that was played.

    Attributes:
        answers: in the order of its requests.
        gunicorn: its gunicorn, which is closed by now.
        stood_still: whether this machine was too late for its result to say anything.
    """

    answers: list[Capture]
    gunicorn: Gunicorn
    stood_still: bool = False

    @property
    def ends(self) -> str:
        """Return how the answers ended, joined, or that this machine stood still."""
        return self._unless_late(", ".join(each.end for each in self.answers))

    @property
    def end_of_first(self) -> str:
        """Return how the first answer ended, or that this machine stood still."""
        return self._unless_late(self.answers[0].end)

    @property
    def end_of_last(self) -> str:
        """Return how the last answer ended, or that this machine stood still."""
        return self._unless_late(self.answers[-1].end)

    @property
    def first(self) -> str:
        """Return how the first answer ended and flowed, or that this machine stood still."""
        return self._unless_late(f"{self.answers[0].end}, {flow(self.answers[0])}")

    def _unless_late(self, found: str) -> str:
        return STARVED if self.stood_still else found

    def said(self, *words: str) -> list[str]:
        """Return the log lines that contain one of these words, without times and numbers."""
        return self.gunicorn.said(*words)

    def statuses(self, path: str) -> list[str]:
        """Return the statuses that the access log has for requests of a path."""
        return re.findall(rf'"GET {re.escape(path)}[^"]*" (\d{{3}})', self.gunicorn.log)


class Trials:
    """Trials that run side by side in the background; `trials["name"]` waits for one of them.

    Their gunicorns start in turns, and a request goes out when its worker is ready and idle.
    """

    def __init__(
        self, model: Endpoint, trials: Mapping[str, Trial], *, at_a_time: int = 11
    ) -> None:
        """Begin the trials.

        Args:
            model: the server that the applications request their answers from.
            trials: the trials by name.
            at_a_time: how many run at a time; each mostly waits.
        """
        self._model = model
        self._trials = dict(trials)
        self._pool = ThreadPoolExecutor(at_a_time)
        self._turns = ThreadPoolExecutor(1)  # a queue; a lock would not keep the order
        self._taken: set[str] = set()
        self._playing: dict[str, Future[Played]] = {
            name: self._pool.submit(self._play, trial) for name, trial in trials.items()
        }

    def start(self, options: str, app: str = ASYNC) -> Gunicorn:
        """Start a gunicorn that serves one of the applications, and wait until it answers."""
        # With --preload the application is imported once, so a new worker is there at once.
        env = {"BASE_URL": self._model.base_url, "MODEL": self._model.model}

        def started() -> Gunicorn:
            gunicorn = Gunicorn(app, "--preload", *options.split(), env=env)
            read(f"{gunicorn.url}{STREAM}?tokens=1")
            return gunicorn

        return self._turns.submit(started).result()

    def start_soon(self, options: str, app: str = ASYNC) -> "Future[Gunicorn]":
        """Start a gunicorn in the background."""
        return self._pool.submit(self.start, options, app)

    def __getitem__(self, name: str) -> Played:
        return self._playing[name].result()

    def take(self, *names: str) -> dict[str, Played]:
        """Return these trials; those that were taken before are played again.

        So a cell that runs again shows another run.
        """
        for name in self._taken.intersection(names):
            self._playing[name] = self._pool.submit(self._play, self._trials[name])
        self._taken.update(names)
        return {name: self[name] for name in names}

    def close(self) -> None:
        """Wait for the trials that still run."""
        self._pool.shutdown()
        self._turns.shutdown()

    def _play(self, trial: Trial) -> Played:
        for _ in range(1 if trial.signals else PLAYS):
            played = self._play_once(trial)
            if not played.stood_still:
                break
        return played

    def _play_once(self, trial: Trial) -> Played:
        answers: list[Capture] = []
        with self.start(trial.options, trial.app) as gunicorn, PlainSleep() as sleep:
            urls = [gunicorn.url + path for path in trial.paths]
            for signal in trial.signals or (None,):
                meanwhile = signal and partial(signal, gunicorn)
                answers += side_by_side(*urls, apart=0.5, meanwhile=meanwhile)
            if not trial.signals and any(answer.end != WHOLE for answer in answers):
                time.sleep(LOOKS_AFTER_WORKERS)  # until the log says what was killed, and how
            return Played(answers, gunicorn, stood_still(trial, answers, sleep.late))


def stood_still(trial: Trial, answers: list[Capture], late: float) -> bool:
    """Return whether the machine may be the reason for what a trial shows.

    Load can cut a stream or make it pause. It cannot make it whole.
    """
    streams = [
        answer
        for answer, path in zip(answers, trial.paths * (len(trial.signals) or 1), strict=True)
        if path.startswith(STREAM)
    ]
    if all(each.end == WHOLE for each in answers) and all(flow(each) == FLOWS for each in streams):
        return False
    return late > LATE or any(each.first is None or each.first > BEGINS_WITHIN for each in streams)
