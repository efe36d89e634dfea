"""`stream-lab regress` as a command: its documents, baselines, statuses and bad input."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from typer.testing import CliRunner

from fake_vllm.testing import FakeVllm
from stream_lab.cli import app
from stream_lab.notebooks.row import Status
from stream_lab.redact import HIDDEN
from stream_lab.regress import snapshot
from stream_lab.regress.store import Store
from stream_lab.regress.summary import Kind, Verdict, schema
from tests.stream_lab.notebooks.tiny_notebooks import (
    BAD,
    GOOD,
    write,
)
from tests.stream_lab.regress.runs import (
    as_json,
    command,
    configure,
    everything,
    folders,
    rows,
    run,
    run_process,
    summary,
)

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "docs" / "regress.schema.json"

pytestmark = pytest.mark.usefixtures("kept_workers")


def test_a_good_run_ends_with_0_and_writes_every_document(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    write(tmp_path / "notebooks", "02", "print(TIMEOUT)", GOOD)
    configure(tmp_path, parameters={"TIMEOUT": [2.5, 3.5]})
    done = run(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    told = as_json(done)
    jsonschema.validate(told, json.loads(PUBLISHED.read_text(encoding="utf-8")))
    (folder,) = folders(tmp_path)
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8")) == told
    assert [row["status"] for row in told["rows"]] == ["pass"] * 4
    assert told["against"] == "the story alone"
    notebooks = {
        path.relative_to(folder / "notebooks").as_posix()
        for path in folder.glob("notebooks/**/*.ipynb")
    }
    assert notebooks == {
        f"bundled/here/0{n}_test/TIMEOUT={t}.ipynb" for n in (1, 2) for t in (2.5, 3.5)
    }
    assert "3.5" in (folder / "notebooks/bundled/here/02_test/TIMEOUT=3.5.ipynb").read_text(
        encoding="utf-8"
    )
    assert "4 of 4 claims as told" in (folder / "summary.md").read_text(encoding="utf-8")
    suites = ElementTree.parse(folder / "junit.xml").getroot()
    assert int(suites.attrib["tests"]) == 8
    assert "it holds" in (folder / "report.html").read_text(encoding="utf-8")
    for name in ("report.html", "junit.xml", "summary.json", "summary.md"):
        assert str(tmp_path) not in (folder / name).read_text(encoding="utf-8"), name
    assert all(
        str(tmp_path) not in path.read_text(encoding="utf-8")
        for path in folder.glob("notebooks/**/*.ipynb")
    )


def test_the_published_schema_is_the_one_in_force() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema()


def run_history(folder: Path) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["history", str(folder / "runs" / "history.sqlite"), "--json"])
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_regression_stays_one_until_it_is_mended_or_accepted(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    assert run(tmp_path).returncode == 0
    write(tmp_path / "notebooks", "01", BAD)
    assert run(tmp_path).returncode == 1
    (change,) = summary(tmp_path).changes
    assert (change.kind, change.claim, change.was, change.now) == (
        Kind.REGRESSION,
        "it holds",
        "yes",
        "no",
    )
    bad = folders(tmp_path)[-1]
    again = ("--resume", "--run", bad.name)
    assert run(tmp_path, *again).returncode == 1, "a bad run is not a baseline"
    assert run(tmp_path, *again, "--against", str(bad / "summary.json")).returncode == 0, (
        "but a baseline that has it is"
    )
    assert [change.kind for change in summary(tmp_path).changes] == [Kind.KNOWN]
    assert run(tmp_path).returncode == 0, "and the accepted run is the last good one from now on"
    assert sorted((past["run"], past["verdict"]) for past in run_history(tmp_path))[1:3] == [
        (bad.name, "regression"),
        (f"{bad.name}-02", "as expected"),
    ], "the finished run stays what it was"


def test_a_flaky_cell_runs_once_more_and_is_marked(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    flicker = f'import pathlib\nm = pathlib.Path({str(mark)!r}); found = "yes" if m.exists() else "no"; m.touch()\n'
    write(tmp_path / "notebooks", "01", flicker + GOOD.replace('found="yes"', "found=found"))
    configure(tmp_path, retries=1)
    done = run(tmp_path)
    assert done.returncode == 0
    row = rows(tmp_path)["01"]
    assert row.flaky
    assert [(attempt.status, attempt.reason) for attempt in row.earlier] == [
        (Status.FAIL, "it holds: no, not yes")
    ]
    assert "passed when run once more; at first it holds: no, not yes" in done.stdout
    assert "passed when run once more" in (folders(tmp_path)[-1] / "summary.md").read_text(
        encoding="utf-8"
    )


def test_a_missing_endpoint_or_world_spoils_only_its_own_column(
    tmp_path: Path,
) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    (tmp_path / "none.txt").write_text("no-such-package-of-the-kit==9.9\n", encoding="utf-8")
    configure(
        tmp_path,
        endpoints={"bundled": {}, "down": {"url": "http://127.0.0.1:9/v1"}},
        worlds={"here": {}, "bad": {"requirements": "none.txt"}},
    )
    done = run(tmp_path)
    assert done.returncode == 2
    found = {row.cell: row for row in summary(tmp_path).rows}
    assert found["bundled/here/01_test"].status is Status.PASS
    assert "No server answers at http://127.0.0.1:9/v1" in found["down/here/01_test"].reason
    assert "the world 'bad' cannot be made" in found["bundled/bad/01_test"].reason
    assert summary(tmp_path).verdict is Verdict.UNKNOWN


def test_a_notebook_whose_program_is_missing_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    write(tmp_path / "notebooks", "10", GOOD)
    configure(tmp_path)
    monkeypatch.setattr(
        "stream_lab.processes.programs.PROGRAMS", {"nginx": (("no-such-nginx",), "nginx-light")}
    )
    done = CliRunner().invoke(app, command(tmp_path)[3:])
    assert done.exit_code == 0, done.output
    assert (rows(tmp_path)["10"].status, rows(tmp_path)["01"].status) == (
        Status.SKIPPED,
        Status.PASS,
    )
    assert "apt-get install nginx-light" in rows(tmp_path)["10"].reason
    monkeypatch.setattr("stream_lab.processes.programs.PROGRAMS", {"nginx": (("sh",), "")})
    done = CliRunner().invoke(app, [*command(tmp_path)[3:], "--resume"])
    assert "1 of 2 cells stand from before" in done.output
    assert rows(tmp_path)["10"].status is Status.PASS, "a resumed run tries it again"


def test_a_missing_extra_is_unknown_and_never_a_regression(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    write(tmp_path / "notebooks", "02", GOOD)
    configure(tmp_path)
    assert run(tmp_path).returncode == 0
    lacks = "from stream_lab.extras import require\nrequire('no_such_module', extra='relay')"
    write(tmp_path / "notebooks", "02", lacks, GOOD)
    done = run(tmp_path)
    assert done.returncode == 2
    row = rows(tmp_path)["02"]
    assert row.status is Status.SKIPPED
    assert row.reason.startswith("no_such_module is not installed; pip install '")
    assert row.reason.endswith("[relay]'.")
    assert [change.kind for change in summary(tmp_path).changes] == [Kind.UNKNOWN]


KEY = "sk-do-not-tell-9d2f"
ASKS = """
import os
from stream_lab import open_endpoint
key = os.environ["OPENAI_API_KEY"]
print(key, repr(key))
server = open_endpoint(BASE_URL, MODEL)
e = Evidence("01"); e.claim("it was let in", expected="fake-model", found=server.model); e.claim(key, expected=key, found=key); e.table()
"""


def test_the_key_reaches_its_server_and_no_artefact(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", ASKS)
    write(
        tmp_path / "notebooks",
        "02",
        f"raise RuntimeError('{'{'}os.environ{'}'}', __import__('os').environ['OPENAI_API_KEY'])",
    )
    with FakeVllm(api_key=KEY) as server:
        configure(
            tmp_path,
            endpoints={"gpu": {"url": server.base_url, "api_key_env": "A_KEY_OF_THE_TEST"}},
        )
        done = run_process(tmp_path, A_KEY_OF_THE_TEST=KEY)
    assert rows(tmp_path)["01"].status is Status.PASS, rows(tmp_path)["01"].reason
    assert rows(tmp_path)["01"].jobs == 1, "one notebook at a time calls a running server"
    assert "RuntimeError" in rows(tmp_path)["02"].reason
    assert HIDDEN in everything(folders(tmp_path)[-1])
    assert KEY not in everything(tmp_path / "runs") + done.stdout + done.stderr


OTHER_KEY = "sk-nor-this-one-51ac"
LOOKS = """
import os, psutil
print(dict(os.environ), psutil.Process().parent().environ())
has = sorted(name for name, value in os.environ.items() if value.startswith("sk-"))
e = Evidence("01"); e.claim("it has the keys", expected="none", found=has); e.claim(str(dict(psutil.Process().parent().environ())), expected="", found=""); e.table()
"""


def test_a_notebook_gets_the_key_of_its_own_server_only_and_no_artefact_holds_any(
    tmp_path: Path,
) -> None:
    write(tmp_path / "notebooks", "01", LOOKS)
    with FakeVllm(api_key=KEY) as server, FakeVllm(api_key=OTHER_KEY) as other:
        configure(
            tmp_path,
            endpoints={
                "bundled": {},
                "gpu": {"url": server.base_url, "api_key_env": "A_KEY_OF_THE_TEST"},
                "usual": {"url": other.base_url},
                "player": {"scenario": "finite", "api_key_env": "A_KEY_OF_THE_TEST"},
            },
        )
        done = run_process(tmp_path, A_KEY_OF_THE_TEST=KEY, OPENAI_API_KEY=OTHER_KEY)
    assert {row.endpoint: row.claims[0].found for row in summary(tmp_path).rows} == {
        "bundled": "[]",
        "gpu": "['A_KEY_OF_THE_TEST', 'OPENAI_API_KEY']",
        "usual": "['OPENAI_API_KEY']",
        "player": "[]",
    }
    left = everything(tmp_path / "runs") + done.stdout + done.stderr
    assert HIDDEN in left
    assert KEY not in left
    assert OTHER_KEY not in left


def test_a_missing_key_is_reported_with_the_name_of_its_variable(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    with FakeVllm(api_key=KEY) as server:
        configure(
            tmp_path,
            endpoints={"gpu": {"url": server.base_url, "api_key_env": "A_KEY_OF_THE_TEST"}},
        )
        assert run(tmp_path).returncode == 2
    assert "set A_KEY_OF_THE_TEST in the environment" in rows(tmp_path)["01"].reason


def test_dry_run_names_the_cells_and_runs_none(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(
        tmp_path, endpoints={"a": {}, "b": {"url": "http://gpu/v1"}}, parameters={"TIMEOUT": 0.5}
    )
    done = run(tmp_path, "--dry-run")
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == ["a/here/01_test", "b/here/01_test"]
    assert "With TIMEOUT=0.5." in done.stdout
    assert "Note:" not in done.stdout
    told = " ".join(run(tmp_path, "--dry-run", "--jobs", "2").stdout.split())
    assert (
        "Note: b: the server gets one notebook at a time and not 2, since its metrics would show "
        "the requests of the others, and its timings would suffer from them; `jobs` of the "
        "endpoint allows more."
    ) in told
    assert not (tmp_path / "runs").exists()


def test_dry_run_opens_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(address: str) -> None:
        raise AssertionError(address)

    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path, outputs="github://a:b@/")
    monkeypatch.setattr("fsspec.core.url_to_fs", opened)
    assert run(tmp_path, "--dry-run").returncode == 0


ODD = {"not UTF-8": b"\xff{}", "a list": b"[1]", "half": b"{", "deep": b"[" * 200_000}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
@pytest.mark.parametrize("way", [("--resume", "--run"), ("--against",)])
def test_a_stored_run_that_is_odd_is_one_sentence_and_status_2(
    way: tuple[str, ...], data: bytes, tmp_path: Path
) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    odd = tmp_path / "runs" / "regress" / "odd"
    odd.mkdir(parents=True)
    (odd / "run.json").write_bytes(data)
    if "--against" in way:
        (odd / "summary.json").write_bytes(data)
    done = run(tmp_path, *way, "odd", "--dry-run")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be " in done.stderr or "is not the summary.json" in done.stderr


def test_a_stored_row_that_is_odd_runs_again(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    assert run(tmp_path).returncode == 0
    (folder,) = folders(tmp_path)
    (row,) = folder.glob("cells/**/*.json")
    row.write_text("[1]", encoding="utf-8")
    (folder / "summary.json").unlink()
    done = run(tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path)["01"].status is Status.PASS


def test_the_password_of_the_outputs_is_not_in_the_report_line_or_the_run(
    tmp_path: Path,
) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    outputs = "memory://bob:hunter2secret@h/x"
    configure(tmp_path, outputs=outputs)
    done = run(tmp_path)
    assert "Report: memory://•••@h/x/" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr + json.dumps(run_history(tmp_path))
    store = Store(outputs)
    (name,) = store.runs()
    assert "hunter2" not in str(store.run(name).read("run.json"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--against", "none.json"),
            "The baseline none.json is neither a run of the history nor a summary.json that can be read.",
        ),
        (("--against", "regress.yaml"), "is not the summary.json of a run."),
        (("--against", "pipe"), "The baseline pipe cannot be used: it is not a regular file"),
        (("--against", "large"), "The baseline large cannot be used: it is larger than 64 MiB"),
        (("--against", "notebooks"), "The baseline notebooks cannot be used: it is not a regular"),
        (("--only", "nothing"), "No cell's name contains 'nothing'"),
        (("--resume",), "There is no run to go on with"),
        (("--against", "\udcff"), "is neither a run of the history nor a summary.json"),
        (("--run", "\udcff"), "The run's name '\\udcff' is not UTF-8"),
        (("--resume", "--run", "r9"), "There is no run r9 to go on with"),
        (
            ("--scheduler", "tcp://127.0.0.1:9"),
            "No Dask cluster with a worker answers at tcp://127.0.0.1:9",
        ),
        (("--outputs", "s3://bucket/x"), "s3fs"),
        (("--config", "elsewhere.yaml"), "elsewhere.yaml cannot be read"),
        (("--outputs", "/proc/nowhere"), "cannot be written to"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(3 * 10**9)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stream_lab.regress.cluster.ANSWERS_WITHIN", 0.5)
    done = CliRunner().invoke(app, ["regress", *arguments])
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_without_a_history_the_error_says_what_makes_one(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["history", str(tmp_path / "none.sqlite")])
    assert done.exit_code == 2
    assert "make regress writes one" in done.stderr


def test_outputs_may_go_to_any_filesystem(tmp_path: Path) -> None:
    import fsspec

    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    done = CliRunner().invoke(
        app, [*command(tmp_path)[3:], "--outputs", "memory://regress-test", "--run", "r1"]
    )
    assert done.exit_code == 0, done.output
    files = fsspec.filesystem("memory").find("/regress-test/r1")
    assert sorted(name.removeprefix("/regress-test/r1/") for name in files) == [
        "cells/bundled/here/01_test.json", "junit.xml", "notebooks/bundled/here/01_test.ipynb", "report.html", "run.json",
        "summary.json", "summary.md",
    ]  # fmt: skip
    assert not (tmp_path / "runs" / "regress").exists()


def test_two_runs_at_once_do_not_clash(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01", GOOD)
    configure(tmp_path)
    both = [
        subprocess.Popen(
            command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert len(folders(tmp_path)) == 2
    assert len(run_history(tmp_path)) == 2


def test_cells_import_the_code_as_it_was_when_the_run_began(tmp_path: Path) -> None:
    write(
        tmp_path / "notebooks",
        "01",
        "import stream_lab, stream_deadline, fake_vllm\nprint(stream_lab.__file__)",
        GOOD,
    )
    configure(tmp_path)
    done = run_process(tmp_path, PYTHONPATH=str(ROOT / "src"))
    assert done.returncode == 0, done.stdout
    text = (folders(tmp_path)[-1] / "notebooks/bundled/here/01_test.ipynb").read_text(
        encoding="utf-8"
    )
    assert f"stream-deadline/code/{snapshot.digest()[:16]}/stream_lab" in text
