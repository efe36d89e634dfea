"""Players of the SDKs that are installed here, against real servers."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

import stream_deadline
from stream_lab.frameworks import environments, playing, survey
from stream_lab.frameworks.environments import Environment, NoNetwork, NoNode
from stream_lab.frameworks.judge import Mark, judge
from stream_lab.frameworks.outcome import Outcome
from stream_lab.frameworks.playing import Watch
from stream_lab.frameworks.registry import PLAYERS, Framework, registry
from stream_lab.frameworks.servers import Babbler, Pool, play, requests

WATCH = Watch(timeout=1.0, length=3.0, pause=2.8)
WIDE = 1.2
HERE = ["httpx", "openai-sdk-async", "anthropic-sdk", "langchain"]
SCENARIOS = ["endless", "stall", "suspended"]
EXPECTED = {
    "timeout": {"endless": Mark.RUNNING, "stall": Mark.HOLDS, "suspended": Mark.BUSY},
    "bounded_client": dict.fromkeys(SCENARIOS, Mark.HOLDS),
}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool() as pool:
        yield pool


def here(framework: Framework) -> Environment:
    """Return the environment of the tests themselves."""
    return Environment((sys.executable, str(PLAYERS / framework.player)), Path(), {})


def with_this_library(framework: Framework) -> Framework:
    """Let the player import the library that the tests import, wherever that is."""
    found = {"PYTHONPATH": str(Path(stream_deadline.__file__).parents[1])}
    settings = {
        key: setting.model_copy(update={"variables": found})
        for key, setting in framework.settings.items()
    }
    return framework.model_copy(update={"settings": settings})


@pytest.fixture(scope="module")
def played(pool: Pool) -> dict[tuple[str, str], dict[str, Outcome]]:
    """Play the SDKs of this environment, a few at a time."""
    cells = [(name, setting) for name in HERE for setting in EXPECTED]

    def one(cell: tuple[str, str]) -> dict[str, Outcome]:
        framework = with_this_library(registry().frameworks[cell[0]])
        return playing.play(framework, cell[1], SCENARIOS, here(framework), pool, WATCH)

    with ThreadPoolExecutor(4) as threads:
        return dict(zip(cells, threads.map(one, cells), strict=True))


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("setting", EXPECTED)
@pytest.mark.parametrize("name", HERE)
def test_the_sdks_run_on_and_the_library_stops_them(
    name: str,
    setting: str,
    scenario: str,
    played: dict[tuple[str, str], dict[str, Outcome]],
) -> None:
    outcome = played[name, setting][scenario]
    verdict = judge(outcome, scenario, WATCH.timeout, slack=WIDE)
    assert verdict.mark is EXPECTED[setting][scenario], (verdict.words, outcome)
    if setting == "bounded_client":
        assert outcome.ours or scenario == "suspended"


class TestPlayer:
    def play(self, tmp_path: Path, pool: Pool, code: str) -> Outcome:
        player = tmp_path / "player.py"
        player.write_text(code, encoding="utf-8")
        environment = Environment((sys.executable, str(player)), tmp_path, {})
        framework = registry().frameworks["httpx"]
        return playing.play(framework, "timeout", ["endless"], environment, pool, WATCH)["endless"]

    def test_one_that_fails_leaves_its_last_words(self, tmp_path: Path, pool: Pool) -> None:
        outcome = self.play(tmp_path, pool, "raise SystemExit('no such SDK')")
        assert "status 1: no such SDK" in outcome.unplayed

    def test_one_that_never_ends_is_ended(
        self, tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(playing, "STARTS_WITHIN", -2.0)
        outcome = self.play(tmp_path, pool, "import time; time.sleep(60)")
        assert "had not ended after 1 s" in outcome.unplayed


def test_the_scripted_server_notes_that_its_client_left() -> None:
    server = Babbler()
    try:
        play(server, "endless")
        with (
            httpx2.Client(trust_env=False) as http,
            http.stream("POST", f"{server.root}/v2/chat", json={}) as answer,
        ):
            lines = answer.iter_lines()  # kept, since its end would close the response
            assert next(lines) == "event: message-start"
            assert requests(server)[0]["slot_freed"] is None
        time.sleep(0.3)
        assert requests(server)[0]["slot_freed"] is not None
    finally:
        server.close()


def test_a_cell_that_was_a_little_late_is_played_once_more(
    monkeypatch: pytest.MonkeyPatch, pool: Pool
) -> None:
    late = Outcome(ended=1.9, chain=("X",), requests=1, freed=1.9)
    good = Outcome(ended=1.5, chain=("X",), requests=1, freed=1.5)
    answers = iter([late, good])
    asked: list[list[str]] = []

    def fake_play(*given: object) -> dict[str, Outcome]:
        scenarios = given[2]
        assert isinstance(scenarios, list)
        asked.append(scenarios)
        return dict.fromkeys(scenarios, next(answers))

    monkeypatch.setattr(survey, "play", fake_play)
    framework = (
        registry()
        .frameworks["haystack"]
        .model_copy(
            update={
                "without": dict.fromkeys(["stall", "keep-alive", "no-headers", "suspended"], "x")
            }
        )
    )
    found = survey._repeated(framework, "deadline", here(framework), pool, Watch())
    assert asked == [["endless"], ["endless"]]
    assert found["endless"].ended == 1.5
    assert found["endless"].late_before == 0.4


class TestEnvironment:
    def test_no_node_is_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda name: None)
        with pytest.raises(NoNode, match="need Node"):
            environments._program("node")

    def test_no_network_is_one_sentence(self, tmp_path: Path) -> None:
        command = ["sh", "-c", "echo 'error sending request for url (x)' >&2; exit 2"]
        with pytest.raises(NoNetwork, match="Is there a network"):
            environments._run(command, tmp_path)

    def test_any_other_failure_keeps_its_reason_without_addresses(self, tmp_path: Path) -> None:
        command = ["sh", "-c", "echo 'no version of x at https://host/x fits' >&2; exit 1"]
        with pytest.raises(environments.InstallError, match="no version of x at … fits"):
            environments._run(command, tmp_path)
