"""The registry is whole: each entry has a player, and each player an entry."""

import ast
import sys
from pathlib import Path

import pytest

from fake_vllm.scenarios.parse import parse
from stream_lab.frameworks.judge import SUSPENDED, Mark
from stream_lab.frameworks.players import protocol
from stream_lab.frameworks.playing import LINE as TOLD
from stream_lab.frameworks.registry import PLAYERS, Framework, registry

LINES = 30
FRAMEWORKS = registry().frameworks


def test_each_entry_has_a_player_and_each_player_an_entry() -> None:
    there = {path.name for path in PLAYERS.iterdir() if "_player." in path.name}
    assert {framework.player for framework in FRAMEWORKS.values()} == there


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_entry_has_a_usual_time_out_and_in_python_the_library(name: str) -> None:
    kinds = {setting.kind for setting in FRAMEWORKS[name].settings.values()}
    assert "natural" in kinds
    assert ("library" in kinds) == (FRAMEWORKS[name].language == "python")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_entry_names_only_scenarios_that_exist(name: str) -> None:
    framework = FRAMEWORKS[name]
    named = set(framework.without)
    for setting in framework.settings.values():
        named |= set(setting.known)
        assert setting.kind == "library" or not setting.known
        assert all(known.mark is not Mark.HOLDS for known in setting.known.values())
    assert named <= set(registry().scenarios)


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_own_deadline_says_what_it_leaves_open(name: str) -> None:
    for setting in FRAMEWORKS[name].settings.values():
        assert (setting.kind == "own") == (len(setting.leaves_open.split()) > 1)


@pytest.mark.parametrize("path", sorted(PLAYERS.glob("*_player.*")), ids=lambda path: path.name)
def test_a_player_is_short_and_does_not_hide_a_package(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    code = [line for line in lines if line.strip() and not line.startswith(("import", "from"))]
    assert len(code) <= LINES + 20 * (path.name == "litellm_proxy_player.py")  # it starts a proxy
    assert path.stem.endswith("_player")


def test_the_players_speak_the_laboratory_s_language() -> None:
    assert protocol.LINE == TOLD
    assert protocol.SUSPENDED == SUSPENDED
    assert SUSPENDED in registry().scenarios


def test_the_protocol_needs_no_package() -> None:
    text = (PLAYERS / "protocol.py").read_text(encoding="utf-8")
    top = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(
        name.partition(".")[0] in sys.stdlib_module_names
        for node in top
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    )


def test_the_fake_knows_each_scenario() -> None:
    for scenario in registry().scenarios.values():
        parse(scenario.plays)


def test_an_entry_with_a_field_too_many_is_refused() -> None:
    given = FRAMEWORKS["httpx"].model_dump()
    with pytest.raises(ValueError, match="extra"):
        Framework.model_validate({**given, "colour": "blue"})
