"""`stream-lab run` with notebooks that succeed, fail, hang, die or are interrupted."""

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks import task
from stream_lab.notebooks.progress import Display
from stream_lab.notebooks.report import Summary
from stream_lab.notebooks.row import Row, Status
from tests.stream_lab.in_process import invoke
from tests.stream_lab.notebooks.tiny_notebooks import BAD, GOOD, LEAVES, UNKNOWN, left_behind, write
from tests.stream_lab.regress.reader import Reader

pytestmark = pytest.mark.usefixtures("kept_workers")

STREAM_LAB = [sys.executable, "-m", "stream_lab", "run"]


def run(
    folder: Path, *arguments: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], Path | None]:
    """Run the investigation over a folder; return its words and the run's folder."""
    command = ["run", "--notebooks", str(folder), "--runs", str(folder / "runs"), *arguments]
    done = invoke(command, **variables)
    runs = sorted((folder / "runs").glob("*")) if (folder / "runs").exists() else []
    return done, runs[-1] if runs else None


def verdicts(run_folder: Path | None) -> dict[str, Any]:
    assert run_folder is not None
    body: dict[str, Any] = json.loads((run_folder / "verdicts.json").read_text(encoding="utf-8"))
    return body


def test_the_status_is_0_if_every_claim_holds(tmp_path: Path) -> None:
    write(tmp_path, "01", GOOD)
    write(tmp_path, "02", "print(TIMEOUT)", GOOD)
    done, folder = run(tmp_path, "--timeout", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 claims came out as the story tells" in done.stdout
    assert folder is not None
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "it holds" in page
    assert "http" not in page.replace("http-equiv", ""), "the page needs nothing from elsewhere"
    assert "3.0" in (folder / "notebooks" / "02_test.ipynb").read_text(encoding="utf-8")
    assert str(tmp_path) not in (folder / "notebooks" / "02_test.ipynb").read_text(encoding="utf-8")


BROKEN = {
    "02": (BAD, ""),
    "03": (UNKNOWN, ""),
    "04": (
        'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes"); 1 / 0',
        "ZeroDivisionError",
    ),
    "05": (
        'e = Evidence("{number}"); e.claim("it holds", expected="yes", found="yes")',
        "did not get to its table",
    ),
    "06": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kernel died"),
    "07": ('Evidence("{number}").table()', "made no claim"),
}


def test_the_status_is_1_if_a_notebook_fails_and_the_report_says_why(tmp_path: Path) -> None:
    write(tmp_path, "01", GOOD)
    for number, (cell, _) in BROKEN.items():
        write(tmp_path, number, cell)
    done, folder = run(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    body = verdicts(folder)
    assert body["as_told"] is False
    results = {result["name"][:2]: result for result in body["results"]}
    assert list(results) == ["01", *BROKEN]
    for number, (_, why) in BROKEN.items():
        assert why in results[number]["error"]
        assert bool(why) == bool(results[number]["error"])
        assert why in done.stdout
    assert [results[number]["claims"][0]["outcome"] for number in ("01", "02", "03")] == [
        "as told",
        "not as told",
        "not shown",
    ]
    assert body["headline"] == (
        "4 of 7 notebooks did not run to their end (04, 05, 06, 07); 3 of 5 claims came out as the story tells"
    )


def made(number: str, status: Status, *claims: Claim, **more: Any) -> Row:
    more = {"by_claims": True, **more}
    name = f"{number}_test"
    return Row(
        more.pop("cell", name), "bundled", "here", name, "", {}, status, claims=list(claims), **more
    )


@pytest.mark.parametrize("number", ["02", "03", "06"])
def test_one_notebook_that_fails_is_enough(number: str) -> None:
    as_told = Claim("it holds", "yes", "yes", Outcome.AS_TOLD)
    not_as_told = Claim("it holds", "yes", "no", Outcome.NOT_AS_TOLD)
    not_shown = Claim("it holds", "yes", "?", Outcome.NOT_SHOWN)
    good = made("01", Status.PASS, as_told)
    bad = {
        "02": made("02", Status.FAIL, not_as_told),
        "03": made("03", Status.INFRA, not_shown),
        "06": made("06", Status.INFRA, as_told, by_claims=False, reason="its kernel died"),
    }[number]
    assert Summary("s", [], 2.0, 1.0, False, [good]).as_told
    assert not Summary("s", [], 2.0, 1.0, False, [good, bad]).as_told
    assert not Summary("s", [], 2.0, 1.0, True, [good]).as_told
    assert not Summary("s", [], 2.0, 1.0, False, []).as_told


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_keeps_the_results_and_leaves_no_process(name: str, tmp_path: Path) -> None:
    write(tmp_path, "01", GOOD)
    hang = "from stream_lab.experiment.fake import Fake\nfake = Fake()\nimport time, pathlib\npathlib.Path('{mark}').write_text(str(fake.pid))\ntime.sleep(60)"
    mark, sleeps = tmp_path / "mark", f"6{os.getpid()}.5"
    write(tmp_path, "02", LEAVES.replace("{mark}", sleeps) + hang.replace("{mark}", str(mark)))
    command = [
        *STREAM_LAB,
        "--notebooks",
        str(tmp_path),
        "--runs",
        str(tmp_path / "runs"),
        "--jobs",
        "1",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < until:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 5, "worker, kernel, fake and two processes of the notebook are at work"
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted; what had run by then is kept" in err
    assert "it holds" in out
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert left_behind(sleeps) == []
    assert f"sleep {sleeps}; sleep {sleeps}" in out
    page = next((tmp_path / "runs").glob("*/report.html")).read_text(encoding="utf-8")
    assert "it holds" in page
    assert "interrupted" in page


def test_a_model_that_stops_by_itself_is_reported_as_not_shown(
    tmp_path: Path,
) -> None:
    """The server's context is full long before the deadline of the story's notebooks."""
    from stream_lab.experiment.fake import Fake

    story = Path(__file__).parents[3] / "notebooks"
    with Fake("finite", gap=0.005, max_model_len=60) as fake:
        arguments = [
            "--base-url",
            fake.base_url,
            "--notebooks",
            str(story),
            "--only",
            "01,04,05",
            "--runs",
            str(tmp_path / "runs"),
        ]
        done, folder = run(tmp_path, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    results = verdicts(folder)["results"]
    assert [result["error"] for result in results] == ["", "", ""]
    claims = [claim for result in results for claim in result["claims"]]
    assert [each for each in claims if each["outcome"] == "not as told"] == []
    outcomes = [(claim["outcome"], claim["found"]) for claim in claims]
    not_shown = [found for outcome, found in outcomes if outcome == "not shown"]
    assert set(not_shown) == {"the model stopped by itself", "the timer never fired"}
    assert len(not_shown) == 10, outcomes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--timeout", "0"], "must be a number of seconds"),
        (["--timeout", "abc"], "must be a number of seconds"),
        (["--timeout", "nan"], "must be a number of seconds"),
        (["--base-url", "http://127.0.0.1:9/v1"], "No server answers"),
        (["--only", "77"], "No notebook's name contains '77'; there are: 01_test."),
        (["--runs", "/proc/nowhere"], "Cannot write"),
        (["--notebooks", "/nowhere"], "There are no notebooks"),
        (["--model", "x", "--base-url", "nonsense"], "should look like"),
    ],
)
def test_bad_input_is_one_clear_sentence(arguments: list[str], says: str, tmp_path: Path) -> None:
    write(tmp_path, "01", GOOD)
    done, _ = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_notebook_whose_program_is_not_installed_is_a_row_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "01", GOOD)
    write(tmp_path, "10", GOOD)
    monkeypatch.setattr("shutil.which", lambda _: None)
    arguments = ["run", "--notebooks", str(tmp_path), "--runs", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "1 of 1 claims" in done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("10 ")]
    assert re.search(r"not run +│ nginx is not installed; .* │ –$", line), line
    assert "Note:" not in done.output
    (page,) = (tmp_path / "runs").glob("*/report.html")
    text = Reader(page.read_text(encoding="utf-8")).text
    assert "– 10 · A test not run: nginx is not installed; on Debian: apt-get install" in text
    asked_for = CliRunner().invoke(app, [*arguments, "--only", "10"])
    assert asked_for.exit_code == 2
    assert "apt-get install nginx-light" in asked_for.output


def test_a_notebook_whose_extra_is_not_installed_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "01", GOOD)
    write(tmp_path, "09", GOOD)
    versions = {name: "1" for name in task.versions_here() if name != "fastapi"}
    monkeypatch.setattr(task.Here, "kernel", lambda _: task.Kernel("python3", versions))
    write(tmp_path, "02", "from stream_lab.extras import MissingExtra", "raise MissingExtra('No.')")
    done = CliRunner().invoke(
        app, ["run", "--notebooks", str(tmp_path), "--out", str(tmp_path / "runs"), "--json"]
    )
    rows = {row["name"][:2]: row for row in json.loads(done.stdout)["results"]}
    assert (rows["09"]["status"], rows["02"]["status"]) == ("skipped", "skipped")
    assert re.fullmatch(
        r"fastapi is not installed; pip install '[a-z-]+\[relay\]'\.", rows["09"]["reason"]
    )
    assert rows["02"]["reason"] == "No."


def test_a_model_without_an_address_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path, "01", GOOD)
    done = CliRunner().invoke(app, ["run", "--notebooks", str(tmp_path), "--model", "x"])
    assert done.exit_code == 2
    assert done.stderr.startswith("stream-lab: --model x names a model of your server, but no addr")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_is_one_sentence_and_keeps_what_has_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in ("01", "02"):
        write(tmp_path, number, GOOD)
    original = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if b"02 \xc2\xb7" in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    arguments = ["--notebooks", str(tmp_path), "--out", str(tmp_path / "runs"), "--jobs", "1"]
    done = CliRunner().invoke(app, ["run", *arguments])
    assert done.exit_code == 2
    assert re.fullmatch(
        r"stream-lab: Cannot write to \S+: No space left on device; make room there, or name "
        r"another folder with --out \(make run RUNS=…\)\.\n",
        done.stderr,
    )
    (folder,) = (tmp_path / "runs").iterdir()
    assert [path.name for path in folder.rglob("*.*") if path.is_file()] == [
        "01_test.ipynb",
        "01.json",
    ]
    assert "it holds" in done.stdout, "the table has what was shown by then"


def test_the_display_names_everything_that_runs_and_counts_cells() -> None:
    screen = Console(width=200, file=io.StringIO(), record=True)
    display = Display(screen)
    display.began({"01_a": 4, "02_b": 6, "03_c": 5})
    display.running(["01_a", "02_b"])
    display.cell("01_a", 3)
    display.cell("02_b", 1)
    screen.print(display)
    assert re.search(r" 4/15 cells .* 01_a, 02_b\n", screen.export_text())
    display.ended(made("02", Status.PASS, cell="02_b"))
    screen.print(display)
    assert re.search(r"✔ 02_b\n.* 9/15 cells", screen.export_text())


def test_a_servers_key_is_in_no_artefact_and_one_notebook_at_a_time_learns_of_the_last(
    tmp_path: Path,
) -> None:
    from stream_lab.experiment.fake import Fake

    write(
        tmp_path,
        "01",
        "from stream_lab import open_endpoint\nserver = open_endpoint(BASE_URL, MODEL)\nserver.settings",
        GOOD,
    )
    finds = "import os, pathlib\npathlib.Path(os.environ['STREAM_LAB_EVIDENCE'], 'goes_on.txt').write_text('http://x:1\\n')\n"
    write(tmp_path, "02", finds + GOOD)
    knows = GOOD.replace(
        'found="yes"', "found='yes' if 'http://x:1' in os.environ['STREAM_LAB_GOES_ON'] else 'no'"
    )
    write(tmp_path, "03", "import os\n" + knows)
    with Fake("finite", api_key="sk-very-secret") as fake:
        arguments = ("--base-url", fake.base_url, "--jobs", "2")
        done, folder = run(tmp_path, *arguments, OPENAI_API_KEY="sk-very-secret")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Note: The server gets one notebook at a time and not 2, since its" in done.stdout
    assert folder is not None
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if b"sk-very-secret" in path.read_bytes()]
    assert "sk-very-secret" not in done.stdout + done.stderr


TAKEN_ONCE = "[ -e {mark} ] && exec {python} -m ipykernel_launcher -f $0; touch {mark}; echo Address already in use; exit 1"


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (["sh", "-c", "echo No licence. >&2; exit 3"], "No licence. (Kernel died"),
        (["no-such-program"], "No such file or directory: 'no-such-program'"),
        (["sh", "-c", TAKEN_ONCE, "{connection_file}"], ""),
    ],
)
def test_a_kernel_that_does_not_start_is_reported_in_its_own_words_and_a_lost_port_is_not_the_end(
    start: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "01", GOOD)
    spec = tmp_path / "jupyter" / "kernels" / "broken" / "kernel.json"
    spec.parent.mkdir(parents=True)
    start = [
        part.replace("{mark}", str(tmp_path / "mark")).replace("{python}", sys.executable)
        for part in start
    ]
    spec.write_text(json.dumps({"argv": start, "display_name": "", "language": "python"}))
    kernel = task.Kernel(
        "broken", task.versions_here(), {"JUPYTER_PATH": str(tmp_path / "jupyter")}
    )
    monkeypatch.setattr(task.Here, "kernel", lambda _: kernel)
    done, folder = run(tmp_path)
    assert done.returncode == bool(why)
    error = verdicts(folder)["results"][0]["error"]
    assert error.startswith("its kernel did not start: " if why else "")
    assert why in error
