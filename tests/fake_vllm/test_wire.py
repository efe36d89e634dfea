"""On the wire the fake is vLLM: held against transcripts of a real vLLM 0.32 in golden/.

Compared are status, headers that matter, error bodies to the letter, every key and its place, the framing and the order of events.
Text, ids, counts and times are the server's own affair and compared by type.
"""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stream_lab.fake import Fake

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
EXACT = {"object", "finish_reason", "role", "owned_by", "detail", "code", "param", "message", "type"}
IDS = re.compile(r"(?<=[a-z]-)[0-9a-fX]{16}\b")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Fake]]:
    with Fake("finite", gap=0, model="tiny") as default, Fake("finite", gap=0, model="tiny", api_key="sk-golden") as keyed:
        yield {"default": default, "api-key": keyed}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_answers_as_the_real_vllm_did(path: Path, servers: dict[str, Fake]) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    server = servers[case["server"]]
    want = case["response"]
    got = send(server, fill_piece(server, case["request"]))

    assert got["status"] == want["status"]
    for name in ("content-type", "allow", "www-authenticate", "transfer-encoding", "vary", "server"):
        assert got["headers"].get(name) == dict(want["headers"]).get(name), name
    if "chunks" in want:
        assert shape_of_stream(got["chunks"]) == shape_of_stream(want["chunks"])
    else:
        assert shape(parse(got["body"])) == shape(parse(want["body"]))


def test_header_order_is_that_of_the_real_one(servers: dict[str, Fake]) -> None:
    case = json.loads((Path(__file__).parent / "golden" / "chat_stream.json").read_text(encoding="utf-8"))
    assert list(send(servers["default"], case["request"])["headers"]) == [name for name, _ in case["response"]["headers"]]


def send(server: Fake, request: dict[str, Any]) -> dict[str, Any]:
    """Send one request on a connection of its own and keep the HTTP chunks apart."""
    body = request.get("body_raw") if "body" not in request else json.dumps(unfold(request["body"]))
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=20)
    # http.client would add a content type of its own to a body; the transcript says which was sent, if any.
    connection.putrequest(request["method"], request["path"], skip_accept_encoding=True)
    data = (body or "").encode()
    for name, value in {**request["headers"], "content-length": str(len(data))}.items():
        connection.putheader(name, value)
    connection.endheaders(data)
    response = connection.getresponse()
    got: dict[str, Any] = {"status": response.status, "headers": {name.lower(): value for name, value in response.getheaders()}}
    if response.chunked:
        assert response.fp is not None
        got["chunks"] = list(chunks(response.fp))
    else:
        got["body"] = response.read().decode()
    connection.close()
    return got


def chunks(stream: Any) -> Iterator[str]:
    while length := int(stream.readline(), 16):
        yield stream.read(length).decode()
        stream.readline()


def unfold(value: Any) -> Any:
    """`{"$repeat": [text, n]}` in a transcript stands for a long text."""
    if isinstance(value, dict):
        return value["$repeat"][0] * value["$repeat"][1] if "$repeat" in value else {k: unfold(v) for k, v in value.items()}
    return [unfold(item) for item in value] if isinstance(value, list) else value


def fill_piece(server: Fake, request: dict[str, Any]) -> dict[str, Any]:
    """`"$piece"` stands for a few characters of what this very server answers, since every server writes other text."""
    if "$piece" not in json.dumps(request):
        return request
    probe = {key: value for key, value in request["body"].items() if key not in ("stop", "stream", "stream_options")}
    choice = parse(send(server, {**request, "body": probe})["body"])["choices"][0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    middle = len(text) // 2
    filled: dict[str, Any] = json.loads(json.dumps(request).replace('"$piece"', json.dumps(text[middle : middle + 4])))
    return filled


def parse(body: str) -> Any:
    return json.loads(body) if body else None


def shape(value: Any, key: str = "", *, error: bool = False) -> Any:
    """A value with everything taken out that differs from one run to the next."""
    if isinstance(value, dict):
        return [(name, shape(item, name, error=error or name == "error")) for name, item in value.items()]
    if isinstance(value, list):
        return [shape(item, key, error=error) for item in value]
    if isinstance(value, str) and (error or key in EXACT or key == "id"):
        return IDS.sub("#", value)
    if error or key in EXACT:
        return value
    return type(value).__name__


def shape_of_stream(pieces: list[str]) -> Any:
    """The kinds of event in order, runs of tokens folded into one, each with its shape."""
    folded: list[Any] = []
    for piece in pieces:
        assert piece.startswith("data: ")
        assert piece.endswith("\n\n")
        assert piece.count("\n\n") == 1, "one HTTP chunk holds one event"
        data = piece.removeprefix("data: ").removesuffix("\n\n")
        item = data if data == "[DONE]" else shape(json.loads(data))
        if data != "[DONE]":
            assert json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")) == data, "JSON is compact"
        if not folded or folded[-1] != item:
            folded.append(item)
    return folded
