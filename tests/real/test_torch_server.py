"""gpu/torch_server with its real engine, on the CPU, and the scripts that take its evidence."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from stream_lab.experiment.saved_evidence import load_saved
from stream_lab.processes.backends import Place, RealServerError
from stream_lab.processes.backends.environments import place_for
from stream_lab.processes.backends.torch_serving import torch_server
from tests.fake_vllm.golden_check import problems, send
from tests.real.conftest import NAMED, started

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "fake_vllm" / "golden"
RECIPE = torch_server(ROOT)
# What random weights cannot write: texts of a set shape.
SHAPED = {
    "chat_choice",
    "chat_json_object",
    "chat_json_schema",
    "chat_stream_json_schema",
    "chat_tools_named",
    "chat_tools_required",
}
CASES = [path for path in sorted(FOLDER.glob("c*.json")) if path.stem not in SHAPED]

pytestmark = pytest.mark.skipif(
    NAMED is not None, reason="the server under test was named in BASE_URL"
)


@pytest.fixture(scope="module")
def place() -> Place:
    """The server's environment, whose installation takes longer than a test may."""
    try:
        return place_for(RECIPE, 0, Console(stderr=True))
    except RealServerError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with started(RECIPE) as address:
        yield address


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_it_answers_as_a_vllm_does(path: Path, url: str) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    assert case["server"] == "default"
    assert problems(case, send(url.removesuffix("/v1"), case["request"])) == []


def test_the_evidence_is_taken_from_start_to_end(tmp_path: Path, place: Place) -> None:
    out = tmp_path / "there"
    done = subprocess.run(
        [
            place.python,
            "-m",
            "gpu.take_evidence",
            "--size",
            "tiny",
            "--device",
            "cpu",
            "--timeout",
            "2",
            "--out",
            out,
        ],
        env={**os.environ, **RECIPE.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "evidence.png").read_bytes().startswith(b"\x89PNG")
    (found,) = load_saved(tmp_path)
    assert len(found.trials) == 8
    assert found.server is not None
    assert found.server.words.startswith(
        "gpu/torch_server with a random-weight Qwen3 tiny on a CPU"
    )


def test_an_unknown_size_or_a_missing_device_is_one_sentence(place: Place) -> None:
    for flag, value, said in (
        ("--size", "9b", "invalid choice"),
        ("--device", "cuda:7", "cannot be made on cuda:7"),
    ):
        done = subprocess.run(
            [place.python, "-m", "gpu.torch_server", flag, value],
            env={**os.environ, **RECIPE.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
