"""The attempts with all witnesses: /metrics, and a GPU through its probe."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from stream_lab import Endpoint, verdict
from stream_lab.cli import app
from stream_lab.data_folders import EVIDENCE, data_folder
from stream_lab.experiment import pictures
from stream_lab.experiment.attempts_run import (
    ATTEMPTS,
    CHAIN,
    DIRECT,
    Trial,
    Witnesses,
    told,
    try_out,
)
from stream_lab.experiment.call import Call
from stream_lab.experiment.fake import Fake
from stream_lab.experiment.gpu import GpuSample
from stream_lab.experiment.saved_evidence import SavedEvidence, load_saved
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.experiment.witness import Sample

# A GPU that is busy while the fake at the address runs something: what a real one does, without one.
PROBE = """
import sys, time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
while True:
    page = opener.open(sys.argv[1] + "/metrics").read().decode()
    running = any(line.startswith("vllm:num_requests_running") and float(line.split()[-1]) for line in page.splitlines())
    print(f"0, Made-up GPU, {95 if running else 0}, 1000, {600.0 if running else 70.0}", flush=True)
    time.sleep(0.03)
"""

TRIES = 3  # the command says so if the machine stood still, and then shows nothing


@pytest.fixture
def probe(tmp_path: Path, fake: Endpoint) -> str:
    file = tmp_path / "probe.py"
    file.write_text(PROBE, encoding="utf-8")
    return f"{sys.executable} {file} {fake.root}"


def test_the_server_works_on_before_the_fix_and_is_idle_after_it(
    fake: Endpoint, probe: str
) -> None:
    began: list[str] = []
    trials = asyncio.run(try_out(fake, 1.0, gpu=probe, tell=began.append))
    assert began == [f"{attempt.__name__}, {CHAIN}" for attempt in ATTEMPTS]
    came = [(trial.attempt, trial.call.verdict, trial.call.server) for trial in trials]
    assert came == [
        ("PlainChatVllm", verdict.RAN_ON, verdict.Server.RAN_ON),
        ("ScopedChatVllm", verdict.RAN_ON, verdict.Server.RAN_ON),
        ("ElapsedChatVllm", verdict.STOPPED, verdict.Server.STOPPED),
        ("ChatVllm", verdict.STOPPED, verdict.Server.STOPPED),
    ]
    assert [trial.gpu_after for trial in trials] == [
        "worked on",
        "worked on",
        "came to rest",
        "came to rest",
    ]
    assert all(len(trial.gpu) > 10 for trial in trials)
    body = SavedEvidence.of(trials, Witnesses("a fake vLLM", True, "Made-up GPU")).as_dict()
    assert json.loads(json.dumps(body)) == body
    assert fake.root not in json.dumps(body)
    picture = pictures.at_work(trials, title="A finding")
    assert "PlainChatVllm in chain.astream: ran past the deadline" in picture.alt
    assert len(picture.figure.axes) == 8, "a scale for tokens and one for the GPU in each row"


def trial(*gpu: tuple[float, float | None], samples: tuple[tuple[float, int], ...] = ()) -> Trial:
    recording = Recording(ending=Ending.CUT, ended=2.0)
    call = Call(recording, 2.0, [Sample(at, 1, 0, tokens) for at, tokens in samples])
    return Trial(
        "ChatVllm", DIRECT, call, [GpuSample(at, 0, "G", busy, None, None) for at, busy in gpu]
    )


@pytest.mark.parametrize(
    ("gpu", "after"),
    [
        ([(1.5, 90.0), (3.2, 85.0), (3.4, 80.0)], "worked on"),
        ([(1.5, 90.0), (3.2, 3.0), (3.4, 0.0)], "came to rest"),
        (
            [(1.2, 22.0), (1.5, 35.0), (3.2, 9.0), (3.4, 11.0)],
            "worked on",
        ),  # half as fast, as an H100 was once
        ([(1.5, 90.0), (2.5, 60.0)], ""),
        ([(1.5, None), (3.2, None)], ""),
        ([], ""),
    ],
)
def test_the_verdict_on_a_gpu_needs_samples_on_both_sides_of_the_deadline(
    gpu: list[tuple[float, float | None]], after: str
) -> None:
    assert trial(*gpu).gpu_after == after


def test_rates_are_over_a_quarter_of_a_second() -> None:
    found = trial(samples=((0.0, 0), (0.1, 5), (0.3, 30), (0.6, 60))).rates
    assert [(at, round(rate)) for at, rate in found] == [(0.3, 100), (0.6, 100)]
    assert trial().rates == []


def test_the_witnesses_are_named() -> None:
    assert (
        Witnesses("a real server", True, "H100").words
        == "a real server; witnesses: its /metrics, nvidia-smi (H100)"
    )
    assert (
        Witnesses("a real server", False).words
        == "a real server; witnesses: only the tokens it sends"
    )


def test_the_command_takes_the_evidence_and_prints_the_result(
    fake: Endpoint, probe: str, tmp_path: Path
) -> None:
    out = tmp_path / "evidence"
    command = ["evidence", "--base-url", fake.base_url, "--timeout", "1.0", "--gpu-probe", probe]
    for _ in range(TRIES):
        done = CliRunner().invoke(app, [*command, "--out", str(out), "--direct"])
        if "this machine stood still" not in done.output:
            break
    assert done.exit_code == 0, done.output
    body = json.loads((out / "evidence.json").read_text(encoding="utf-8"))
    jsonschema.validate(body["trials"], {"type": "array", "minItems": 8, "maxItems": 8})
    assert [(one["attempt"], one["way"]) for one in body["trials"]][2:4] == [
        ("ScopedChatVllm", CHAIN),
        ("ScopedChatVllm", DIRECT),
    ]
    assert body["trials"][3]["stream"] == verdict.STOPPED, "without a chain the scope holds"
    assert body["witnesses"]["gpu"] == "Made-up GPU"
    assert (out / "evidence.png").read_bytes().startswith(b"\x89PNG")
    assert "nvidia-smi (Made-up GPU)" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpu-probe", "no-such-command"], "cannot be run"),
        (["--timeout", "x"], "must be a number of seconds"),
        (["--base-url", "http://127.0.0.1:9/v1"], "No server answers"),
        (["--out", "/proc/nowhere/x"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    arguments: list[str], said: str, fake: Endpoint
) -> None:
    done = CliRunner().invoke(app, ["evidence", "--base-url", fake.base_url, *arguments])
    assert done.exit_code == 2
    assert said in done.stderr


def test_saved_evidence_is_printed_in_the_same_words(
    fake: Endpoint, probe: str, tmp_path: Path
) -> None:
    trials = asyncio.run(try_out(fake, 0.8, ways=(DIRECT,), gpu=probe))
    witnesses = Witnesses("a fake vLLM", True, "Made-up GPU")
    (tmp_path / "there").mkdir()
    body = SavedEvidence.of(trials, witnesses).as_dict()
    (tmp_path / "there" / "evidence.json").write_text(json.dumps(body), encoding="utf-8")
    (found,) = load_saved(tmp_path)
    assert found.witnesses == witnesses
    assert pictures.at_work(found.played, title="A").alt == pictures.at_work(trials, title="A").alt
    for before, after in zip(trials, found.played, strict=True):
        assert (after.call.verdict, after.call.server) == (before.call.verdict, before.call.server)
        assert [replace(sample, at=0.0) for sample in after.call.samples] == [
            replace(sample, at=0.0) for sample in before.call.samples
        ]
        assert [sample.at for sample in after.gpu] == pytest.approx(
            [sample.at for sample in before.gpu], abs=0.001
        )
    body["server"] = {"program": "a server", "model": "a model", "device": "a device"}
    (tmp_path / "there" / "evidence.json").write_text(json.dumps(body), encoding="utf-8")
    assert (
        load_saved(tmp_path)[0]
        .title.split("\n")[0]
        .endswith(f", on {body['taken'][:10]}: a server with a model on a device")
    )


def test_the_committed_evidence_is_as_told() -> None:
    found = load_saved()
    assert found, "evidence/ is empty"
    for each in found:
        assert told(each.played) == "as told", each.title


@pytest.mark.parametrize("machine", ["cpu", "h100"])
def test_a_file_stays_the_same_when_it_is_loaded_and_written(machine: str) -> None:
    text = (data_folder(EVIDENCE) / machine / "evidence.json").read_text(encoding="utf-8")
    assert SavedEvidence.model_validate_json(text).as_dict() == json.loads(text)


def test_a_folder_without_evidence_gives_none(tmp_path: Path) -> None:
    assert load_saved(tmp_path / "nowhere") == []


def test_a_model_that_stops_by_itself_shows_nothing_and_the_error_says_what_to_do(
    tmp_path: Path,
) -> None:
    with Fake(
        "finite", gap=0.01, max_model_len=80
    ) as fake:  # its context is full before the deadline
        done = CliRunner().invoke(
            app, ["evidence", "--base-url", fake.base_url, "--timeout", "4", "--out", str(tmp_path)]
        )
    assert done.exit_code == 2
    assert done.output.count("the model stopped by itself") == 8, "of the stream, and of the server"
    assert (
        "The model stopped by itself before the deadline under PlainChatVllm (chain.astream), Scoped"
        in done.output
    )
    assert "use ignore_eos if the server takes it" in done.output
    assert (
        json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))["outcome"]
        == "not shown"
    )
