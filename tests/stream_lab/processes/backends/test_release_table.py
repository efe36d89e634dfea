"""Whether a server is free after a disconnect, from its gauges and CPU time."""

import json
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from stream_lab.cli import app
from stream_lab.experiment.fake import Fake
from stream_lab.experiment.release import CpuTime, Gauges
from stream_lab.processes.backends import RealServerError, release_table, survey
from stream_lab.processes.backends.release_table import Freed, cell, kept, table, try_out


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_table, "LET_RUN", 0.3)
    monkeypatch.setattr(release_table, "WATCHED", 1.0)


def test_a_vllm_is_free_in_both_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_table, "WATCHED", 5.0)  # it takes milliseconds on a quiet machine
    with Fake("endless", gap=0.01) as fake:
        row = try_out("fake", "1", fake.base_url, fake.model, Gauges(fake.root), repeats=2)
    assert len(row.stream) == len(row.whole) == 2
    assert all(seconds is not None and seconds < 5.0 for seconds in row.stream + row.whole)


def test_a_server_that_does_not_notice_is_reported_and_awaited() -> None:
    with Fake("endless", gap=0.01, on_disconnect="keep") as fake:
        row = try_out(
            "fake", "1", fake.base_url, fake.model, Gauges(fake.root), repeats=5, tokens=300
        )
        assert fake.requests[-1].tokens_after_left > 50
    assert row.stream == row.whole == [None, None], "twice is enough to know"


def test_a_server_that_refuses_or_never_works_is_an_error() -> None:
    with (
        Fake("endless") as fake,
        pytest.raises(RealServerError, match="was not busy according to its /metrics"),
    ):
        try_out("fake", "1", fake.base_url, fake.model, NeverBusy(fake.root))
    with (
        Fake("refuse:status=503,requests=2-") as fake,
        pytest.raises(RealServerError, match=r"fake refuses the request: HTTP/1.1 503"),
    ):
        try_out("fake", "1", fake.base_url, fake.model, Gauges(fake.root))


class NeverBusy(Gauges):
    def __call__(self) -> bool:
        return False


def test_cpu_time_distinguishes_a_busy_process_from_an_idle_one() -> None:
    code = "import sys, time\nfor line in sys.stdin:\n    end = time.time() + float(line)\n    while time.time() < end: pass\n    print(flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        busy = CpuTime(process.pid)
        time.sleep(0.3)
        assert not busy()
        process.stdin.write("1.5\n")
        process.stdin.flush()
        time.sleep(0.3)
        assert busy()
        process.stdout.readline()
        assert not busy()
        process.stdin.close()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ([0.01, 0.03, 0.02], "yes, within 0.02 s (at most 0.03)"),
        ([None, None], "**no**, worked on for 1 s and more"),
        ([0.1, None], "not always: 1 of 2 times"),
    ],
)
def test_a_cell_says_yes_or_no(seconds: list[float | None], words: str) -> None:
    assert cell(seconds) == words


def test_the_table_has_a_row_for_each_server() -> None:
    lines = table(
        [Freed("a", "", "w", [0.1], [None]), Freed("b", "2", "w", [0.1], [0.1])]
    ).splitlines()
    assert (
        lines[2]
        == "| a | w | yes, within 0.10 s (at most 0.10) | **no**, worked on for 1 s and more |"
    )
    assert lines[3].startswith("| b 2 | w |")
    assert Freed("nginx, then b", "1.2", "w", [], []).label == "nginx 1.2, then b"


def test_the_package_carries_a_record_of_a_real_vllm() -> None:
    row = kept("vLLM")
    assert row.version
    assert row.day.startswith("20")
    assert all(seconds is not None for seconds in row.stream + row.whole)
    with pytest.raises(LookupError, match="no row of another"):
        kept("another")


def test_the_command_prints_rows_and_an_unknown_name_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey, "SUBJECTS", {"fake-vllm": survey.SUBJECTS["fake-vllm"]})
    done = CliRunner().invoke(app, ["servers", "--only", "FAKE", "--json"])
    assert done.exit_code == 0, done.output
    assert [row["server"] for row in json.loads(done.stdout)] == ["fake-vllm"]
    wrong = CliRunner().invoke(app, ["servers", "--only", "unknown"])
    assert wrong.exit_code == 2
    assert "No server's name contains 'unknown'; there are: fake-vllm." in wrong.stderr
