"""Files of strangers: settings, notebooks, baselines, evidence, progress, recordings, histories."""

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hypothesis import strategies as st

from fake_vllm import config as fake_config
from fake_vllm.relay import recorded
from fake_vllm.response import recording
from fake_vllm.settings import SettingsError as FakeSettingsError
from stream_lab.course import overview as course_overview
from stream_lab.course import store as course_store
from stream_lab.doctor import limits
from stream_lab.errors import LabError
from stream_lab.experiment import evidence
from stream_lab.experiment.saved_evidence import load_saved
from stream_lab.frameworks import results as framework_results
from stream_lab.lint import files as lint_files
from stream_lab.lint import settings as lint_settings
from stream_lab.lint import survey
from stream_lab.matrix import report as matrix_report
from stream_lab.matrix.cells import cells
from stream_lab.notebooks import notebook as notebooks
from stream_lab.notebooks import report as notebook_report
from stream_lab.regress import config as regress_config
from stream_lab.regress import history as regress_history
from stream_lab.regress import plan as regress_plan
from stream_lab.regress import summary
from tests.fuzz.mutations import DEEP, ODD, as_json, edited, files
from tests.fuzz.target import Target

Read = Callable[[Path], object]
SENTENCES = (
    LabError,
    FakeSettingsError,
    recording.RecordingError,
    recorded.RecordingFileError,
)
"""What the commands print as one sentence; anything else is a traceback."""
LONGEST = 3000
"""Characters of a sentence."""


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def reads(name: str, read: Read) -> Callable[[Path, bytes], None]:
    """Return a check: a file of some bytes is read, or refused in one sentence."""

    def check(place: Path, value: bytes) -> None:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value)
        try:
            read(file)
        except SENTENCES as error:
            said = str(error)
            assert len(said.splitlines()) == 1, said
            assert len(said) < LONGEST, said[:400]
            if isinstance(error, LabError):  # the other commands escape what they print
                assert said.isprintable(), said

    return check


def _yaml(document: Any) -> str:
    try:
        return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, RecursionError):
        return as_json(document)


BOMB = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%b]\n" % (b"b"[0] + n, b"b"[0] + n, b",".join([b"*%c" % (b"a"[0] + n)] * 9)) for n in range(9)
)  # fmt: skip
MERGE_BOMB = b"- &a0 {k: 1, l: 2}\n" + b"".join(
    b"- &a%d {<<: [%b]}\n" % (n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)
)
"""Aliases cost nothing when they are read, but each merge key copies what they stand for."""
BOMBS = {
    "aliases of aliases": BOMB,
    "merge keys of merge keys": MERGE_BOMB,
    "a number to the base of 60": b"a: !!int 1" + b":59" * 200_000,
    "a number to the base of 60 in a mapping": b'a: !!int {=: "1' + b":59" * 200_000 + b'"}',
}


def bombs_in(what: str) -> dict[str, bytes]:
    """Rows for a reader of YAML."""
    return {f"{name} in {what}": text for name, text in BOMBS.items()}


YAML_BITS = [
    BOMB, MERGE_BOMB, b"a: &a [*a]\n", b"!!python/object/apply:os._exit [3]\n", b"&x ", b"*x", b"!!int x", b"!!timestamp x", b"!!binary x", b"!!set {a}",
    b"<<: [1]\n", b"? [a]\n: b\n", b"---\n---\n", b"\t", b"- - - -", b"'", b"|\n", b"%YAML 9\n---\n", b"!!float x", b"!!bool x", b"1:30", b"2026-99-99",
    b": ", b"? ", b"{[a]: b}", b"!!omap [1]", b"!!merge x", b"!!str [a]", b"!!map 5", b"[" * 3000, b"- " * 3000, b"{a: " * 2000, b"0x" + b"f" * 5000, b"9" * 5000,
]  # fmt: skip

REGRESS: list[Any] = [
    {
        "endpoints": {"gpu": {"url": "http://gpu:8000/v1", "jobs": 2}, "f": {"scenario": "stall", "options": {"seed": 1}}},
        "worlds": {"new": {"python": "3.12", "requirements": "r.txt", "on_top": ["a==1"]}},
        "parameters": {"TIMEOUT": [1, 2.5]}, "include": [{"endpoint": "gpu"}], "exclude": [{"TIMEOUT": 1}],
        "limits": {"cell": 60, "slow": 2}, "retries": 1, "jobs": 2, "notebooks": ["01"], "outputs": "runs", "history": "h.sqlite",
    },
    {"endpoints": {"bundled": None}},
]  # fmt: skip
FAKE: list[Any] = [
    {
        "scenario": "finite:tokens=3", "gap_ms": "uniform(1,2)", "first_token_ms": 5, "port": 0, "served_model_name": ["a", "b"],
        "max_model_len": "32k", "rules": [{"scenario": "stall:after=2", "prompt": "x", "turn": "2-4", "headers": {"a": "b"}},
        {"say": "Hi", "tool_calls": [{"name": "f", "arguments": {}}], "attempt": 1}], "api_key": ["k"], "text": None, "tls_self_signed": False,
        "allowed_origins": ["*"], "host": ["127.0.0.1"], "seed": 1,
    },
]  # fmt: skip
LIMIT = {
    "product": "nginx", "knob": "k", "where": "nginx.conf", "default": 60.0, "bounds": "idle", "side": "proxy", "message": None,
    "proof": {"source": {"url": "https://x/y", "date": "2026-01-01"}},
}  # fmt: skip
CODE = "TIMEOUT = 1.0\nasync def f(model):\n    async for x in model.astream('a'):\n        pass\n"
NOTEBOOK = json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[
    nbformat.v4.new_markdown_cell("# 01 · A title"),
    nbformat.v4.new_code_cell(CODE, metadata={"tags": ["parameters"]}, outputs=[
        nbformat.v4.new_output("display_data", {"image/png": "aGk=", "text/plain": "x"}, metadata={"image/png": {"alt": "a"}}),
        nbformat.v4.new_output("stream", text="x"),
        nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["t"]),
    ]),
], metadata={"kernelspec": {"name": "python3", "display_name": "p", "language": "python"}})))  # fmt: skip
CLAIM = {"text": "a", "expected": "b", "found": "b", "outcome": "as told"}
EVIDENCE: list[Any] = [
    {
        "notebook": "01",
        "complete": True,
        "claims": [CLAIM],
        "numbers": {"a": 1.5},
        "imported": {"python": "3.11"},
    }
]
PROGRESS: list[Any] = [
    {
        "predictions": {
            "1": {"question": "q", "chosen": "a", "happened": "a", "right": True, "why": "w"}
        },
        "exercises": {"1": {"state": "solved", "wrong": 2}},
    }
]
CONTENTS: list[Any] = [[{"number": "01", "title": "t", "predictions": ["1"], "exercises": ["1"]}]]
ROW = {
    "cell": "bundled/here/01", "endpoint": "bundled", "world": "here", "notebook": "01", "title": "t", "parameters": {}, "status": "pass",
    "claims": [CLAIM], "numbers": {"a": 1.0}, "earlier": [{"status": "fail", "reason": "r", "seconds": 1.0}],
}  # fmt: skip
BASELINE: list[Any] = [
    {
        "run": "r", "verdict": "as expected", "exit_status": 0, "headline": "h", "against": "the story alone", "started": "2026-01-01T00:00:00",
        "seconds": 1.0, "where": "w", "code": "c", "commit": "d", "endpoints": {"bundled": "x"}, "worlds": {"here": {"python": "3.11"}}, "changes": [], "rows": [ROW], "notes": [], "version": 1,
    },
]  # fmt: skip
MATRIX: list[Any] = [{"ChatVllm": [{"cell": next(iter(sorted(each.name for each in cells()))), "why": "", "late": 0.1}]}]  # fmt: skip
FRAMEWORKS: list[Any] = [
    {
        "timeout": 2.0, "watched": 5.0, "pause": 1.0,
        "frameworks": {"openai-sdk": {"played": {}, "versions": {}, "unplayed": "", "day": "2026-01-01"}},
    }
]  # fmt: skip
EXCHANGE: list[Any] = [
    {
        "format": "fake-vllm exchange 1",
        "request": {"method": "POST", "path": "/v1/x", "headers": {"a": "b"}, "body": {"text": "{}"}},
        "response": {"status": 200, "reason": "OK", "headers": [["a", "b"]], "chunks": [{"at_ms": 1.0, "base64": "aGk="}], "end": "complete"},
    }
]  # fmt: skip
RECORDING: list[Any] = [
    {"model": "m", "texts": ["a", "b"], "gaps_ms": [1.0, 2.0], "finish_reason": "stop"}
]
TOML = [
    b'[tool.stream-lab.lint]\nselect = ["x"]\nexclude = ["a", "**/[", "/"]\n', b"[tool]\nstream-lab = 5\n", b"a = " + b"[" * 3000, b"a = 2026-13-01\n",
    b'[tool.stream-lab.lint]\nselect = ["' + b"[" * 3000 + b'"]\n', b'[tool.stream-lab.lint]\nselect = ["a\\nb"]\n',
    b"a = " + b"9" * 5000, b"[[tool.stream-lab.lint]]\n", b"[tool.stream-lab]\nlint = []\n", b'[tool.stream-lab.lint]\n"\\u0000" = 1\n',
]  # fmt: skip


def _notebook(file: Path) -> None:
    found = notebooks.read_notebook(file)
    assert found.title.isprintable()
    assert found.digest
    assert found.length
    assert found.number is not None
    notebook_report.pictures_of(found.text)


def _lint(file: Path) -> None:
    for finding in survey([file], lint_settings.settings_for([file.parent])).findings:
        assert finding.message


def _baseline(file: Path) -> None:
    place = file.parent
    (place / "notebooks").mkdir(exist_ok=True)
    (place / "notebooks" / "01_a.ipynb").write_text(json.dumps(NOTEBOOK))
    regress_plan.build_plan(regress_config.Config(), place, against=str(file))


def _evidence(file: Path) -> None:
    found = evidence.read(file)
    assert isinstance(found.lacking, str)
    table = evidence.Table(found.claims, {})
    assert repr(table) is not None
    assert table._repr_markdown_()
    json.dumps(found.numbers)


def _progress(file: Path) -> None:
    course_store.read(file)
    course = file.parent / ".course"
    (course / "progress").mkdir(parents=True, exist_ok=True)
    (course / "contents.json").write_text(json.dumps(CONTENTS[0]))
    (course / "progress" / "01.json").write_bytes(file.read_bytes())
    for line in course_overview.overview(file.parent):
        json.dumps(line.as_dict())


def _contents(file: Path) -> None:
    for line in course_overview.overview(file.parent.parent):
        json.dumps(line.as_dict())
        assert isinstance(line.left, str)


def _saved(file: Path) -> None:
    for each in load_saved(file.parent.parent):
        assert each.title


def _history(file: Path) -> None:
    found = regress_history.History(file)
    found.last()
    found.last_good(["bundled/here/01"])


@contextmanager
def stored() -> Iterator[Path]:
    """A folder with a history that has one run."""
    with folder() as place:
        good = summary.parse(as_json(BASELINE[0]))
        regress_history.History(place / "good.sqlite").add(good, "runs")
        yield place


COLUMNS = ["rows.parameters", "rows.status", "rows.earlier", "rows.imported", "rows.seconds", "runs.verdict", "runs.started", "claims.outcome", "claims.found", "numbers.value"]  # fmt: skip


def _edited_history(place: Path, value: tuple[str, Any]) -> None:
    (table, _, column), content = value[0].partition("."), value[1]
    file = place / "edited.sqlite"
    file.write_bytes((place / "good.sqlite").read_bytes())
    if isinstance(content, dict | list):
        content = as_json(content)
    if isinstance(content, str):
        content = content.encode("utf-8", "replace").decode()
    if isinstance(content, int) and abs(content) > 2**62:
        content = float(content) if content < 10**300 else 1
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        base.execute(f"UPDATE {table} SET {column} = ?", (content,))
    try:
        _history(file)
    except LabError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017


NESTED = b"[" * DEEP
FILES: list[tuple[str, str, st.SearchStrategy[bytes], Read, tuple[Any, str], dict[str, bytes]]] = [
    (
        "any regress.yaml is read, or refused in one sentence",
        "regress.yaml",
        files(REGRESS, _yaml, YAML_BITS),
        lambda file: regress_config.load(file),
        (regress_config, "ConfigError"),
        {
            "half of a surrogate pair": b'endpoints: {"\\uD800": {scenario: stall}}',
            **bombs_in("regress.yaml"),
        },
    ),
    (
        "any settings of the fake are read, or refused in one sentence",
        "fake.yaml",
        files(FAKE, _yaml, YAML_BITS),
        lambda file: fake_config.read(file, {}),
        (fake_config, "SettingsError"),
        {
            "settings that are nested too deeply": NESTED,
            "a value that does not fit its tag": b"a: !!int",
            "a control character": b"\x00",
            "a key with a line break": b'"\\r": 1',
            "a scenario of a long name": b"scenario: '" + b"9" * 5000 + b"'",
            "half of a surrogate pair in the fake's settings": b'scenario: "\\uD800"',
            "a number that cannot be printed": b"seed: 0x" + b"f" * 5000,
            "a number as a key": b"? 0x" + b"f" * 5000,
            **bombs_in("the fake's settings"),
        },
    ),
    (
        "any limits.yaml is read, or refused in one sentence",
        "limits.yaml",
        files([[LIMIT]], _yaml, YAML_BITS),
        lambda file: limits._read.__wrapped__(file),
        (limits, "LimitsError"),
        {
            "limits that are nested too deeply": NESTED,
            "a limit of an odd tag": b"- !!int",
            "two limits of one long name": json.dumps(
                [{**LIMIT, "product": "x" * 5000}] * 2
            ).encode(),
            **bombs_in("limits.yaml"),
        },
    ),
    (
        "any notebook is read for a run, or refused in one sentence",
        "01_a.ipynb",
        files([NOTEBOOK], as_json),
        _notebook,
        (notebooks, "NotebookError"),
        {
            "an output that is none": as_json(
                {"cells": [{**NOTEBOOK["cells"][1], "outputs": [None]}]}
            ).encode()
        },
    ),
    (
        "any notebook is looked at for traps",
        "01_a.ipynb",
        files([NOTEBOOK], as_json, [b"\\n  (", b"%%bash", b"\\f"]),
        _lint,
        (lint_files, "_no_python"),
        {},
    ),
    (
        "any pyproject.toml has settings for lint, or is refused in one sentence",
        "pyproject.toml",
        st.sampled_from(TOML) | st.sampled_from(TOML).flatmap(lambda text: edited(text, TOML)),
        lambda file: lint_settings.settings_for([file.parent]),
        (lint_settings, "SettingsError"),
        {},
    ),
    (
        "any baseline is one, or is refused in one sentence",
        "summary.json",
        files(BASELINE, as_json),
        _baseline,
        (regress_plan, "ConfigError"),
        {},
    ),
    (
        "any evidence of a notebook is read",
        "01.json",
        files(EVIDENCE, as_json),
        _evidence,
        (evidence, "Outcome.mark"),
        {
            "a claim that is no text": as_json(
                {**EVIDENCE[0], "claims": [{**CLAIM, "text": None}]}
            ).encode(),
            "a number that is a list": as_json({**EVIDENCE[0], "numbers": {"a": [1]}}).encode(),
        },
    ),
    (
        "any progress of a reader is read",
        "01.json",
        files(PROGRESS, as_json),
        _progress,
        (course_store, "read_json"),
        {"progress that is nested too deeply": NESTED},
    ),
    (
        "any contents of a course are read, or refused in one sentence",
        ".course/contents.json",
        files(CONTENTS, as_json),
        _contents,
        (course_overview, "NoCourse"),
        {
            "contents that are nested too deeply": NESTED,
            "an exercise without a number": as_json(
                [{**CONTENTS[0][0], "exercises": [None]}]
            ).encode(),
        },
    ),
    (
        "any results of the matrix are read, or refused in one sentence",
        "results.json",
        files(MATRIX, as_json),
        lambda file: matrix_report.load_results(file),
        (matrix_report, "ResultsError"),
        {},
    ),
    (
        "any results of frameworks are read, or refused in one sentence",
        "results.json",
        files(FRAMEWORKS, as_json),
        lambda file: framework_results._read(file),
        (framework_results, "ResultsError"),
        {
            "results that are nested too deeply": NESTED,
            "results that are a list": b'{"frameworks": []}',
        },
    ),
    (
        "any recording of an exchange is read, or refused in one sentence",
        "a.json",
        files(EXCHANGE, as_json),
        lambda file: recorded.load(file),
        (recorded, "RecordingFileError"),
        {
            "a field whose name has a line separator": json.dumps(EXCHANGE[0])
            .replace('"text"', '"\\u001e": 1, "text"')
            .encode(),
            "a field of a long name": json.dumps(EXCHANGE[0])
            .replace('"text"', f'"{"9" * 5000}": 1, "text"')
            .encode(),
        },
    ),
    (
        "any recording of a stream is read, or refused in one sentence",
        "a.json",
        files(RECORDING, as_json),
        lambda file: recording.Recording.load(file),
        (recording, "RecordingError"),
        {},
    ),
    (
        "any file is a history, or is refused in one sentence",
        "h.sqlite",
        files([[1]], as_json, [b"SQLite format 3\x00" + bytes(84)]),
        _history,
        (regress_history, "HistoryError"),
        {},
    ),
]
"""For each kind of file: its target, its name, its bytes, its reader, the planted defect, and rows.

The defect is a name that raises something else than a sentence.
"""


def _breaks(module: Any, name: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Return a defect: what should be a sentence is an error of another kind."""

    def broken(*_: object, **__: object) -> None:
        raise LookupError("planted")

    owner, _, attribute = name.rpartition(".")
    place = getattr(module, owner) if owner else module
    planted = property(broken) if owner else broken
    return lambda patch: patch.setattr(place, attribute, planted)


TARGETS: list[Target[Any]] = [
    *(
        Target(
            name,
            drawn,
            reads(file, read),
            _breaks(*defect),
            folder,
            rows,
            examples=30,
            shows=LookupError,
            guided=("fake_vllm",) if "fake" in file else ("stream_lab",),
        )
        for name, file, drawn, read, defect, rows in FILES
    ),
    Target(
        "any content of a history is read, or refused in one sentence",
        st.tuples(st.sampled_from(COLUMNS), st.sampled_from(ODD)),
        _edited_history,
        _breaks(regress_history, "HistoryError"),
        stored,
        shows=LookupError,
        rows={
            "parameters that are missing": ("rows.parameters", None),
            "a number of a history that is none": ("numbers.value", None),
            "a claim that ended in no known way": ("claims.outcome", "x"),
        },
        examples=40,
    ),
]
