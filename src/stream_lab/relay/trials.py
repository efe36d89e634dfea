"""Trials with gunicorn: requests side by side, signals in the middle, and the log afterwards."""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.http.capture import CUT, REFUSED, Capture, side_by_side
from stream_lab.processes.gunicorn import Gunicorn

ASYNC, SYNC = "stream_lab.relay.scaled:app", "stream_lab.relay.scaled_sync:app"
LOOKS_AFTER_WORKERS = 1.5  # seconds; gunicorn does so once a second


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
    """The answers of a trial, in the order of its requests, and its gunicorn."""

    answers: list[Capture]
    gunicorn: Gunicorn

    def said(self, *words: str) -> list[str]:
        """Return the log lines that contain one of these words, without times and numbers."""
        return self.gunicorn.said(*words)

    def statuses(self, path: str) -> list[str]:
        """Return the statuses that the access log has for requests of a path."""
        return re.findall(rf'"GET {re.escape(path)}[^"]*" (\d{{3}})', self.gunicorn.log)


class Trials:
    """Trials that run side by side in the background; `trials["name"]` waits for one of them."""

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
        self._pool = ThreadPoolExecutor(at_a_time)
        self._playing: dict[str, Future[Played]] = {
            name: self._pool.submit(self._play, trial) for name, trial in trials.items()
        }

    def start(self, options: str, app: str = ASYNC) -> Gunicorn:
        """Start a gunicorn that serves one of the applications, and wait until it answers."""
        # With --preload the application is imported once, so a new worker is there at once.
        env = {"BASE_URL": self._model.base_url, "MODEL": self._model.model}
        return Gunicorn(app, "--preload", *options.split(), env=env)

    def start_soon(self, options: str, app: str = ASYNC) -> "Future[Gunicorn]":
        """Start a gunicorn in the background."""
        return self._pool.submit(self.start, options, app)

    def __getitem__(self, name: str) -> Played:
        return self._playing[name].result()

    def close(self) -> None:
        """Wait for the trials that still run."""
        self._pool.shutdown()

    def _play(self, trial: Trial) -> Played:
        answers: list[Capture] = []
        with self.start(trial.options, trial.app) as gunicorn:
            urls = [gunicorn.url + path for path in trial.paths]
            for signal in trial.signals or (None,):
                meanwhile = signal and partial(signal, gunicorn)
                answers += side_by_side(*urls, apart=0.5, meanwhile=meanwhile)
            if not trial.signals and any(answer.end in (CUT, REFUSED) for answer in answers):
                time.sleep(LOOKS_AFTER_WORKERS)  # until the log says what was killed, and how
            return Played(answers, gunicorn)
