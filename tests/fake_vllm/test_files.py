"""Which files a request may name, and which its starter."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from fake_vllm.files import FileRefusedError, FilesIn
from fake_vllm.scenarios.parameters import described
from fake_vllm.testing import FakeVllm, FakeVllmError

RECORDING = {"model": "m", "texts": ["Once", " upon"], "gaps_ms": [1, 1], "finish_reason": "stop"}


class Place(NamedTuple):
    """A server, the folder that its requests may name, and one that they may not."""

    server: FakeVllm
    allowed: Path
    other: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("files")
    allowed, other = root / "allowed", root / "other"
    for folder in (allowed, other):
        folder.mkdir()
        (folder / "story.json").write_text(json.dumps(RECORDING))
        (folder / "gaps.json").write_text("[1, 2]")
        (folder / "odd.json").write_text("no recording")
    (allowed / "link.json").symlink_to(allowed / "story.json")
    (allowed / "out.json").symlink_to(other / "story.json")
    (allowed / "nowhere.json").symlink_to(other / "none.json")
    (allowed / "folder").mkdir()
    os.mkfifo(allowed / "pipe")
    os.mkfifo(other / "pipe")
    rules = [{"prompt": "story", "scenario": f"replay:file={other / 'story.json'}"}]
    with FakeVllm("finite:tokens=2", gap=0, files=allowed, rules=rules) as fake:
        yield Place(fake, allowed, other)


def told(place: Place, way: str, scenario: str) -> httpx2.Response:
    """The answer to a request that names a scenario."""
    server, rule = place.server, {"scenario": scenario}
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    with httpx2.Client(base_url=server.root, trust_env=False, timeout=5) as client:
        if way == "field":
            return client.post("/v1/chat/completions", json={**chat, "fake_scenario": scenario})
        if way == "header":
            named = {"x-fake-scenario": scenario}
            return client.post("/v1/chat/completions", json=chat, headers=named)
        if way == "PUT /scenario":
            return client.put("/scenario", content=scenario)
        method, _, path = way.partition(" ")
        return client.request(method, path, json=rule if method == "POST" else [rule])


def sentence(answer: httpx2.Response) -> str:
    assert answer.status_code == 400
    return str(answer.json()["error"]["message"])


WAYS = ("field", "header", "PUT /scenario", "POST /rules", "PUT /rules")


@pytest.mark.parametrize("way", WAYS)
def test_a_request_cannot_tell_which_files_exist(way: str, place: Place) -> None:
    names = ("story.json", "none.json", "odd.json", "pipe", "none/none.json", "")
    files = [f"{place.other}/{name}" for name in names]
    files += ["/etc/passwd", "/dev/zero", "relative.json", "x\x00y", "x" * 5000]
    files += [f"{place.allowed}/../other/{name}" for name in names]
    files += [f"{place.allowed}/out.json", f"{place.allowed}/nowhere.json"]
    if way == "header":
        files.remove("x\x00y")  # no header can have it
    said = {sentence(told(place, way, f'replay:file="{file}"')) for file in files}
    assert len(said) == 1
    assert "a request may not name this file" in said.pop()
    place.server.reset()


@pytest.mark.parametrize("way", WAYS)
def test_a_request_may_name_the_files_of_an_allowed_folder(way: str, place: Place) -> None:
    for name in ("story.json", "link.json"):
        assert told(place, way, f"replay:file={place.allowed}/{name}").status_code == 200
    assert told(place, way, f"pace:gap=trace:{place.allowed}/gaps.json").status_code == 200
    for name, says in {
        "none.json": "No such file or directory",
        "pipe": "it is not a regular file",
        "folder": "Is a directory",
        "odd.json": "is not a recording",
    }.items():
        assert says in sentence(told(place, way, f"replay:file={place.allowed}/{name}")), name
    place.server.reset()


@pytest.mark.parametrize(
    ("scenario", "parameter"),
    [
        (each["name"], parameter["name"])
        for each in described()
        for parameter in each["parameters"]
        if parameter["type"] in ("path", "string") and parameter["name"] not in ("attempts", "key")
    ],
)
def test_no_parameter_of_any_scenario_opens_a_file_for_a_request(
    scenario: str, parameter: str, place: Place, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"  # whatever opens it waits for ever
    os.mkfifo(pipe)
    for value in (pipe, f"trace:{pipe}"):
        told(place, "field", f'{scenario}:{parameter}="{value}",after=0,requests=999999')
        told(place, "field", f'{scenario}:{parameter}="{value}",requests=999999')


def test_the_program_that_started_the_server_may_name_any_file(place: Place) -> None:
    server, file = place.server, place.other / "story.json"
    try:
        server.play(f"replay:file={file}")
        server.when(prompt="Hi").play(f"pace:gap=trace:{place.other / 'gaps.json'}")
        with pytest.raises(FakeVllmError, match=r"No such file or directory\.$"):
            server.play(f"replay:file={place.other / 'none.json'}")
    finally:
        server.reset()


def test_files_that_the_start_has_named_are_played_after_a_reset_too(place: Place) -> None:
    with httpx2.Client(base_url=place.server.root, trust_env=False) as client:
        body = {"messages": [{"role": "user", "content": "Tell the story."}]}

        def says() -> str:
            answer = client.post("/v1/chat/completions", json=body).json()
            return str(answer["choices"][0]["message"]["content"])

        assert says() == "Once upon"
        assert client.post("/rules", json={"say": "x", "model": "no"}).status_code == 200
        assert says() == "Once upon"
        client.delete("/rules")
        client.post("/reset")
        assert says() == "Once upon"


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fake_vllm.files.LARGEST", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "small").write_bytes(b"x" * 10)
    files = FilesIn([tmp_path])
    assert files.read(tmp_path / "small") == b"x" * 10
    with pytest.raises(OSError, match="larger"):
        files.read(tmp_path / "large")


def test_an_allowed_folder_may_be_a_link_and_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"a")
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    files = FilesIn([Path("link")])
    for name in ("link/a", f"{tmp_path}/link/a"):
        assert files.read(Path(name)) == b"a"
    for name in ("real/a", "link", "linked/a"):
        with pytest.raises((FileRefusedError, OSError)):
            files.read(Path(name))
