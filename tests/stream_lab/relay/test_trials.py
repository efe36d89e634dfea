"""What a trial with gunicorn says if this machine stood still, without a gunicorn."""

from typing import Any

import pytest

from stream_lab.experiment import plain_sleep
from stream_lab.experiment.evidence import Unknown
from stream_lab.http.capture import Capture, End
from stream_lab.relay.trials import PLAYS, Played, Trial, Trials, stood_still

STREAM, CALL = "/text?tokens=9", "/blocking?tokens=9"


def answer(end: End = End.WHOLE, *, first: float = 0.1, pause: float = 0.1) -> Capture:
    pieces = [(first, b"x"), (first + pause, b"x")]
    return Capture(200, pieces, first + pause + 0.1, end)


@pytest.mark.parametrize(
    ("paths", "answers", "late", "unclear"),
    [
        ((STREAM,), [answer()], 3.0, False),  # load cannot make a stream whole
        ((STREAM,), [answer(End.CLOSED)], 0.0, False),
        ((STREAM,), [answer(End.CLOSED)], 1.0, True),
        ((STREAM,), [answer(pause=3.0)], 0.0, False),
        ((STREAM,), [answer(pause=3.0)], 1.0, True),
        ((STREAM,), [answer(End.CLOSED, first=2.5)], 0.0, True),  # not a healthy stream
        ((STREAM,), [Capture(500, [], 2.5, End.WHOLE)], 0.0, True),
        ((CALL,), [Capture(500, [], 2.5, End.WHOLE)], 0.0, False),  # no token was due
        ((STREAM, CALL), [answer(), Capture(0, [], 3.0, End.CLOSED)], 1.0, True),
        ((STREAM, CALL), [answer(), answer(first=5.0)], 1.0, False),
    ],
)
def test_a_trial_says_nothing_if_the_machine_may_be_the_reason(
    paths: tuple[str, ...], answers: list[Capture], late: float, unclear: bool
) -> None:
    assert stood_still(Trial("", paths), answers, late) is unclear
    played = Played(answers, gunicorn=None, stood_still=unclear)  # type: ignore[arg-type]
    for found in (played.ends, played.end_of_first, played.end_of_last, played.first):
        assert isinstance(found, Unknown) is unclear


class Counted(Trials):
    """Trials whose machine stands still for the first plays."""

    def __init__(self, still: int) -> None:
        self.plays, self.still = 0, still
        super().__init__(None, {"one": Trial("", (STREAM,))})  # type: ignore[arg-type]

    def _play_once(self, trial: Trial) -> Played:
        self.plays += 1
        gunicorn: Any = None
        return Played([answer(End.CLOSED)], gunicorn, self.plays <= self.still)


@pytest.mark.parametrize(
    ("still", "plays", "said"),
    [(0, 1, "cut"), (1, 2, "cut"), (9, PLAYS, "this machine stood still")],
)
def test_a_trial_is_repeated_while_the_machine_stands_still_and_then_says_so(
    still: int, plays: int, said: str
) -> None:
    trials = Counted(still)
    assert (trials["one"].ends, trials.plays) == (said, plays)
    trials.close()


def test_a_cell_that_runs_again_plays_its_trials_anew() -> None:
    trials = Counted(0)
    played = [trials.take("one")["one"], trials["one"], trials.take("one")["one"], trials["one"]]
    assert (trials.plays, played[0] is played[1], played[2] is played[3]) == (2, True, True)
    assert played[0] is not played[2]
    trials.close()


def test_the_lateness_of_ten_sleeps_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, naps = 0.0, 0

    def sleep(seconds: float) -> None:
        nonlocal now, naps
        now, naps = now + seconds + (0.05 if naps < 20 else 0.0), naps + 1
        if naps == 40:
            sleeper._over.set()

    monkeypatch.setattr(plain_sleep, "_sleep", sleep)
    monkeypatch.setattr(plain_sleep, "_clock", lambda: now)
    sleeper = plain_sleep.PlainSleep()
    with sleeper:
        sleeper._thread.join()
    assert sleeper.late == pytest.approx(0.5)
