"""The matrix: a cell that should not hold does not, and gives its reason."""

import gc
import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

import httpx2
import openai
import pytest
from langchain_openai import ChatOpenAI

from stream_deadline import ChatVllm
from stream_lab.experiment.fake import Fake
from stream_lab.experiment.story import ClockedChatVllm, ElapsedChatVllm, PlainChatVllm
from stream_lab.http.certificates import VARIABLE, one_certificate
from stream_lab.matrix import CALLS, Cell, Result, cells, picture, play, report, side_by_side
from stream_lab.matrix.servers import GAP
from tests.stream_lab.in_process import invoke

ROOT = Path(__file__).parents[3]
WIDE: dict[str, Any] = {"deadline": 1.0, "lateness": 0.8}


def cell(name: str) -> Cell:
    return next(each for each in cells() if each.name == name)


class Why(Protocol):
    def __call__(self, model: Any, name: str) -> str: ...


@pytest.fixture(scope="module")
def why() -> Iterator[Why]:
    """Plays a cell, and tells what did not hold."""
    with Fake("endless", gap=GAP) as fake:
        yield lambda model, name: next(play(model, [cell(name)], fake=fake, **WIDE)).why


class Early(ChatOpenAI):
    """Times out before its time."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        raise TimeoutError
        yield


class Twice(ChatVllm):
    """Asks twice for one answer."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._agenerate(*args, **{**kwargs, "timeout": 0.3})
        except TimeoutError:
            return await super()._agenerate(*args, **{**kwargs, "timeout": 0.7})


class Never(ChatOpenAI):
    """Gives no whole answers."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise LookupError


class Deaf(ChatVllm):
    """Tells listeners of tokens, and of nothing else."""

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        told = config["callbacks"][0]
        async for chunk in super().astream(input, **kwargs):
            told.on_llm_new_token(chunk.text)
            yield chunk


def test_a_call_that_never_ends_does_not_hold(why: Why) -> None:
    assert why(ChatOpenAI, "endless × astream") == "it did not end"
    assert why(ChatOpenAI, "endless × stream") == "it did not end"


def test_a_call_that_ends_early_does_not_hold(why: Why) -> None:
    assert "early" in why(Early, "endless × astream")


def test_a_generation_too_many_does_not_hold(why: Why) -> None:
    assert why(Twice, "no headers × ainvoke") == "2 generations started"


def test_an_error_of_another_type_does_not_hold(why: Why) -> None:
    assert "not a TimeoutError" in why(
        lambda **settings: ChatOpenAI(**settings, max_retries=0), "stall × astream"
    )


def test_an_answer_without_its_usage_does_not_hold(why: Why) -> None:
    assert (
        why(
            lambda **settings: ChatOpenAI(**{**settings, "stream_usage": False}), "finite × astream"
        )
        == "the usage is missing"
    )


def test_a_server_that_stays_busy_without_a_pull_does_not_hold(why: Why) -> None:
    assert why(ChatOpenAI, "suspended")


@pytest.mark.parametrize(
    "name",
    [
        "finite × invoke",
        "finite, pooled × invoke",
        "finite, pooled × astream",
        "tool call × stream",
    ],
)
def test_a_cell_that_holds_has_no_reason(name: str, why: Why) -> None:
    assert why(ChatVllm, name) == ""
    assert why(ChatOpenAI, name) == ""


def unpooled(**settings: Any) -> ChatOpenAI:
    never = openai.DefaultHttpxClient(limits=httpx2.Limits(max_keepalive_connections=0))
    return ChatOpenAI(**settings, http_client=never)


def test_a_pooled_call_over_a_new_connection_does_not_hold(why: Why) -> None:
    assert why(unpooled, "finite, pooled × invoke") == "no connection was used again"


def test_a_pooled_call_after_no_answer_does_not_hold(why: Why) -> None:
    assert why(Early, "finite, pooled × stream") == ""
    assert why(Never, "finite, pooled × stream") == "the answer before it failed: LookupError()"


def test_an_error_that_names_another_bound_does_not_hold(why: Why) -> None:
    def renamed(**settings: Any) -> ChatVllm:
        first = settings.pop("first_chunk_timeout", WIDE["deadline"])
        return ChatVllm(**{**settings, "timeout": first})

    assert (
        why(renamed, "first_chunk_timeout × astream")
        == "ended by timeout, not by first_chunk_timeout"
    )


@pytest.mark.parametrize("name", ["first_chunk_timeout × stream", "idle_timeout × astream"])
def test_bounds_for_parts_end_a_stream_and_are_named(name: str, why: Why) -> None:
    assert why(ChatVllm, name) == ""


def test_a_class_without_a_parameter_has_no_cells_about_it() -> None:
    about = [cell for cell in cells() if cell.row.name == "first_chunk_timeout"]
    assert len(about) == len(CALLS)
    assert list(play(ChatOpenAI, about)) == []
    assert all(each.is_for(ChatVllm) and each.is_for(unpooled) for each in about)


def test_a_callback_that_gets_no_end_does_not_hold(why: Why) -> None:
    assert why(ChatVllm, "callback") == ""
    assert why(Deaf, "callback") == "its end was reported as []"


def test_the_picture_has_an_alternative_text() -> None:
    chosen = [cell("finite × astream"), cell("endless × astream"), cell("breaks")]
    played = {
        "A": [Result(each, "") for each in chosen],
        "B": [Result(each, "no") for each in chosen],
    }
    drawn = picture.heat_map(played, title="A holds")
    assert drawn.alt == "A holds. A: 3 of 3 cells hold. B: 0 of 3 cells hold."
    assert drawn.png().startswith(b"\x89PNG")


def test_the_picture_has_a_heading_for_each_of_several_groups() -> None:
    names = [
        "endless × astream",
        "endless, pooled × astream",
        "tool call, endless × astream",
        "breaks",
    ]
    drawn = picture.heat_map({"A": [Result(cell(name), "") for name in names]}, title="A holds")
    left, right = (
        [tick.get_text() for tick in axes.get_yticklabels()] for axes in drawn.figure.axes
    )
    assert left == [
        *(
            "what the server does",
            "endless",
            "what the server does, pooled",
            "endless",
            "what the model says",
            "tool call, endless",
        )
    ]
    assert right == ["breaks"]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("stream-lab"), "matrix", *arguments],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "should look like my_module:MyChat"),
        (["no_such_module:Chat"], "Cannot load 'no_such_module:Chat'"),
        (["stream_deadline:Nothing"], "Cannot load 'stream_deadline:Nothing'"),
        (["--only", "no such cell"], "No cell's name contains"),
        (["--picture", "no/such/folder/matrix.png"], "There is no folder"),
        (["--results", "no/such/results.json"], "cannot be read: No such file"),
        (["--results", __file__], "does not have the results of this version's cells"),
        (["--results", "results.json", "--only", "stall"], "has its own classes and cells"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], says: str) -> None:
    done = invoke(["matrix", *arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("stream-lab: ")
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_status_is_that_of_the_last_class_and_json_is_for_scripts() -> None:
    good = run("stream_deadline:ChatVllm", "--only", "finite × invoke", "--json")
    assert good.returncode == 0
    assert [row["holds"] for row in json.loads(good.stdout)["ChatVllm"]] == [True]
    bad = run("stream_lab.experiment.story:PlainChatVllm", "--only", "stall × invoke", "--json")
    assert bad.returncode == 1
    assert [row["why"] for row in json.loads(bad.stdout)["PlainChatVllm"]] == ["it did not end"]


def test_the_kept_results_are_drawn_again_with_their_finding(tmp_path: Path) -> None:
    kept = ROOT / "evidence" / "matrix" / "results.json"
    done = run("--results", str(kept), "--picture", str(tmp_path / "matrix.png"))
    assert done.returncode == 0, "every cell of the last class holds"
    played = report.load_results(kept)
    assert json.loads(report.as_json(played)) == json.loads(kept.read_text(encoding="utf-8"))
    found = report.finding(played)
    assert found.startswith("ChatVllm's deadline holds in all 1109 cells; that of ScopedChatVllm, ")
    drawn = (tmp_path / "matrix.png").read_bytes()
    committed = (ROOT / "docs" / "matrix.png").read_bytes()
    for png in (drawn, committed):
        assert int.from_bytes(png[16:20]) <= 900, "its text is readable at the width of a page"


def test_an_overview_counts_the_cells_of_each_row_and_explains_its_marks() -> None:
    chosen = [each for each in cells() if each.is_for(PlainChatVllm)]
    results = {
        name: [
            Result(each, "" if name == "B" or "endless" in each.name else "no") for each in chosen
        ]
        for name in ("A", "B", "C")
    }
    drawn = picture.heat_map(results, title="B holds")
    (axes,) = drawn.figure.axes
    said = [text.get_text() for text in axes.texts]
    held = [sum(each.holds for each in one) for one in results.values()]
    assert said[:3] == [
        f"{name}\n{count} of {len(chosen)} cells" for name, count in zip("ABC", held, strict=True)
    ]
    marks = [len(collection.get_paths()) for collection in axes.collections]
    assert marks == [count for held_ in held for count in (held_, len(chosen) - held_)]
    assert "Blank: this call cannot meet" in said[-1]
    assert "astream, chain.astream" in said[-1]


NAMES = [
    "endless × chain.astream",
    "keep-alive comments × astream",
    "no headers × stream",
    "suspended",
]


def chosen() -> list[Cell]:
    return [cell for cell in cells() if cell.name in NAMES]


def test_classes_are_played_side_by_side_and_kept_apart() -> None:
    hook = sys.unraisablehook
    played = side_by_side(
        [ElapsedChatVllm, ClockedChatVllm, ChatVllm], chosen(), deadline=0.6, lateness=0.5
    )
    assert [result.cell for result in played["ChatVllm"]] == chosen()
    held = {
        name: [result.cell.name for result in results if result.holds]
        for name, results in played.items()
    }
    assert held == {"ElapsedChatVllm": NAMES[:1], "ClockedChatVllm": NAMES[:2], "ChatVllm": NAMES}
    assert sys.unraisablehook is hook
    assert "ClockedChatVllm: 2 of 4 cells hold" in picture.heat_map(played, title="Told apart").alt


@pytest.mark.parametrize("frozen", [True, False])
def test_only_the_objects_that_the_caller_froze_stay_frozen(frozen: bool) -> None:
    was_frozen = gc.get_freeze_count() > 0
    (gc.freeze if frozen else gc.unfreeze)()
    try:
        assert len(list(play(ChatVllm, chosen()[:1]))) == 1
        assert (gc.get_freeze_count() > 0) == frozen
    finally:
        (gc.freeze if was_frozen else gc.unfreeze)()


@pytest.mark.parametrize("before", [None, "/nowhere/all.pem"])
def test_one_certificate_is_trusted_for_as_long_as_a_block_lasts(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks overlap in any order, and the environment is put back by the last."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if not ssl.create_default_context().get_ca_certs():
        pytest.skip("this machine looks its certificates up when they are needed")
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_certificate():
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    with one_certificate():
        thread.start()
        entered.wait(5)
    assert len(ssl.create_default_context(cafile=os.environ[VARIABLE]).get_ca_certs()) == 1
    leave.set()
    thread.join()
    assert os.environ.get(VARIABLE) == before
