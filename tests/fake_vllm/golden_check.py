"""Compare a server with the transcripts in golden/: the fake, or a real vLLM.

    python -m tests.fake_vllm.golden_check --base-url http://127.0.0.1:8100 [--server KIND=URL …] [--only REGEX]

Compared are status, the headers that matter, error bodies to the letter, every key and its place, the kind of every value, the values
that a protocol is made of, the framing, and the order of events. Text, counts and numbers are the server's own affair.
"""

import argparse
import json
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

FOLDER = Path(__file__).parent / "golden"
CASES = sorted(FOLDER.glob("*.json"))
HEADERS = ("content-type", "allow", "www-authenticate", "x-request-id")
EXACT = {
    "object",
    "finish_reason",
    "role",
    "status",
    "code",
    "owned_by",
    "param",
    "message",
    "detail",
    "event",
    "id",
}
COUNTED = {"choices", "data", "permission", "output"}
"""Lists of which the length is a part of the protocol. The others hold as many items as there are tokens."""
BY_TOKEN = {"top_logprobs", "prompt_logprobs"}
"""Dictionaries, or lists of such, that have tokens as keys."""
_ID = re.compile(
    r"\b(chatcmpl-tool-|chatcmpl-|cmpl-|modelperm-|resp_|msg_|fc_|ctc_|rs_|item_)[0-9a-fX]{16,32}\b"
)
_WHOLE_ID = re.compile(r"[0-9a-fX]{32}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*\\u(?!00[01])")


@dataclass
class Received:
    """What came back.

    Attributes:
        status: the status.
        headers: the headers, with names in lower case.
        body: the body of known length.
        chunks: the HTTP chunks of a chunked body, else None.
        cut: whether the last chunk never came.
    """

    status: int
    headers: dict[str, str]
    body: str = ""
    chunks: list[str] | None = None
    cut: bool = False


@dataclass
class Event:
    """One event of a stream: its role in the order of events, and its choice."""

    kind: str
    data: Any = None
    choice: int | None = None
    lines: list[str] = field(default_factory=list)


def send(base_url: str, request: dict[str, Any], timeout: float = 120.0) -> Received:
    """Send a transcript's request on a new connection and keep the HTTP chunks apart."""
    request = _filled(base_url, request)
    address = urlsplit(base_url)
    with socket.create_connection(
        (str(address.hostname), address.port or 80), timeout=timeout
    ) as connection:
        connection.sendall(_bytes_of(request, address.netloc))
        return _received(connection.makefile("rb"), request["method"])


def _bytes_of(request: dict[str, Any], host: str) -> bytes:
    body = (
        request["body_raw"]
        if "body_raw" in request
        else json.dumps(_unfolded(request["body"]))
        if "body" in request
        else ""
    )
    data = body.encode("utf-8", "surrogateescape")
    headers = {"host": host, **request.get("headers", {})}
    if data or request["method"] == "POST":
        headers["content-length"] = str(len(data))
    lines = [
        f"{request['method']} {request['path']} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def _received(stream: BinaryIO, method: str) -> Received:
    status = int(stream.readline().split(b" ", 2)[1])
    lines = iter(lambda: stream.readline().decode("latin-1").rstrip("\r\n"), "")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    answer = Received(status, headers)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        answer.chunks = []
        try:
            for chunk in _chunks(stream):
                answer.chunks.append(chunk.decode("utf-8", "surrogateescape"))
        except EOFError:
            answer.cut = True
    elif method != "HEAD":
        answer.body = stream.read(int(headers.get("content-length", -1))).decode(
            "utf-8", "surrogateescape"
        )
    return answer


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while line := stream.readline():
        if not (length := int(line.split(b";")[0], 16)):
            return
        yield stream.read(length)
        stream.readline()
    raise EOFError("the connection ended before the last chunk")


def _unfolded(value: Any) -> Any:
    """`{"$repeat": [text, n]}` in a transcript stands for a long text."""
    if isinstance(value, dict):
        return (
            value["$repeat"][0] * value["$repeat"][1]
            if "$repeat" in value
            else {key: _unfolded(one) for key, one in value.items()}
        )
    return [_unfolded(one) for one in value] if isinstance(value, list) else value


def _filled(base_url: str, request: dict[str, Any]) -> dict[str, Any]:
    """Replace `"$piece"` by a few characters of this server's own answer."""
    if '"$piece"' not in json.dumps(request):
        return request
    without = ("stop", "stream", "stream_options", "include_stop_str_in_output")
    probe = {"max_tokens": 16} | {
        key: value for key, value in request["body"].items() if key not in without
    }
    choice = json.loads(send(base_url, {**request, "body": probe}).body)["choices"][0]
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    # A piece from the middle that does not occur earlier: some tokens are sent before it, and one is cut.
    starts = [
        at for at in range(len(text) // 3, len(text) - 4) if "\ufffd" not in text[at : at + 4]
    ]
    at = next((at for at in starts if text.find(text[at : at + 4]) >= len(text) // 4), starts[0])
    filled: dict[str, Any] = json.loads(
        json.dumps(request).replace('"$piece"', json.dumps(text[at : at + 4]))
    )
    return filled


def problems(case: dict[str, Any], got: Received) -> list[str]:
    """Where an answer is not as the transcript has it, one line each."""
    want = case["response"]
    if want["status"] != got.status:
        return [f"status {got.status}, expected {want['status']}: {(got.body or '')[:200]}"]
    headers, masks = dict(want["headers"]), case.get("mask", [])
    found = [
        f"header {name}: {got.headers.get(name)!r}, expected {headers[name]!r}"
        for name in HEADERS
        if name in headers and masked(headers[name], []) != masked(got.headers.get(name, ""), [])
    ]
    if ("chunks" in want) != (got.chunks is not None):
        return [
            *found,
            "a stream expected" if "chunks" in want else "a body of known length expected",
        ]
    if want.get("cut", False) != got.cut:
        found.append("the end of the body expected" if got.cut else "a cut body expected")
    if got.chunks is not None:
        return found + _stream_problems(want["chunks"], got.chunks, masks)
    if case.get("view") == "metrics":
        return found + _metrics_problems(want["families"], got.body)
    if case.get("view") == "paths":
        return found + [
            f"no route {path}"
            for path in want["paths"]
            if path not in json.loads(got.body)["paths"]
        ]
    if "json" not in headers.get("content-type", ""):
        return found + (
            []
            if want["body"] == got.body
            else [f"body {got.body[:80]!r}, expected {want['body'][:80]!r}"]
        )
    return found + _body_problems(want["body"], got, masks)


def _body_problems(want: str, got: Received, masks: list[str]) -> list[str]:
    if not got.body:
        return ["no body"] if want else []
    wanted, found = json.loads(want), json.loads(got.body)
    said = [] if compact(got.body) else ["JSON is not compact"]
    if isinstance(wanted, dict) and _all_cut([wanted]):
        said += _counts(wanted, found)
    return said + list(differences(wanted, found, "body", "", masks, exact=got.status >= 400))


def differences(
    want: Any, got: Any, path: str, key: str, masks: list[str], *, exact: bool = False
) -> Iterator[str]:
    """Return where two values differ; `exact`: in an error, where every value counts."""
    if type(want) is not type(got):
        yield f"{path}: {type(got).__name__}, expected {type(want).__name__}"
    elif isinstance(want, dict) and (
        key in BY_TOKEN or (want and all(name.isdigit() for name in want))
    ):
        for name, value in got.items():
            yield from _like_one_of(
                list(want.values()), value, f"{path}.{name}", "", masks, exact=exact
            )
    elif isinstance(want, dict):
        if list(want) != list(got):
            yield f"{path}: keys {list(got)}, expected {list(want)}"
            return
        for name in want:
            yield from differences(
                want[name], got[name], f"{path}.{name}", name, masks, exact=exact or name == "error"
            )
    elif isinstance(want, list) and key in COUNTED:
        if len(want) != len(got):
            yield f"{path}: {len(got)} items, expected {len(want)}"
        for at, (one, other) in enumerate(zip(want, got, strict=False)):
            yield from differences(one, other, f"{path}[{at}]", "", masks, exact=exact)
    elif isinstance(want, list):
        if bool(want) != bool(got):
            yield f"{path}: {len(got)} items, expected {'some' if want else 'none'}"
            return
        for at, one in enumerate(got):
            yield from _like_one_of(
                want, one, f"{path}[{at}]", key if key in BY_TOKEN else "", masks, exact=exact
            )
    elif (exact or _counts_exactly(key, want, got)) and masked(want, masks) != masked(got, masks):
        yield f"{path}: {got!r}, expected {want!r}"


def _counts_exactly(key: str, want: Any, got: Any) -> bool:
    if not isinstance(want, str):
        return False
    return (
        key in EXACT
        or key.endswith("_id")
        or (key == "type" and "." in want)
        or "repetition_detected" in (want, got)
    )


def _like_one_of(wanted: list[Any], got: Any, *rest: Any, exact: bool) -> list[str]:
    """The differences from the one that it is most like."""
    least: list[str] | None = None
    for want in wanted:
        found = list(differences(want, got, *rest, exact=exact))
        if least is None or len(found) < len(least):
            least = found
        if not found:
            break
    return least or []


def masked(value: Any, masks: list[str]) -> Any:
    """A text without what differs from one server, or one run, to the next."""
    if not isinstance(value, str):
        return value
    value = _ID.sub(r"\1*", value)
    if _WHOLE_ID.fullmatch(value):
        return "*"
    for mask in masks:
        value = re.sub(mask, "*", value)
    return value


def compact(text: str) -> bool:
    """Whether JSON is written as vLLM does: without spaces and unnecessary escapes."""
    return not re.search(r"\s", _QUOTED.sub('""', text)) and not _ESCAPED.search(text)


def _stream_problems(want: list[str], got: list[str], masks: list[str]) -> list[str]:
    found = []
    if one := next(
        (chunk for chunk in got if not chunk.endswith("\n\n") or chunk.count("\n\n") != 1), None
    ):
        found.append(f"framing: an HTTP chunk that is not one event: {one[:80]!r}")
    try:
        wanted, came = [_event(chunk) for chunk in want], [_event(chunk) for chunk in got]
    except (ValueError, LookupError, TypeError) as error:
        return [*found, f"not readable as events: {error!r}"]
    lines = [event.lines for event in wanted]
    found += [f"framing: lines {event.lines}" for event in came if event.lines not in lines][:1]
    loose = next(
        (
            chunk
            for chunk, event in zip(got, came, strict=True)
            if event.kind != "error" and not _compact_event(chunk)
        ),
        None,
    )
    found += [f"framing: JSON is not compact: {loose[:80]!r}"] if loose else []
    if _order(wanted) != _order(came):
        found.append(f"order: {_order(came)}, expected {_order(wanted)}")
    for at, event in enumerate(came):
        alike = [other.data for other in wanted if other.kind == event.kind]
        if alike and event.data is not None:
            told = _like_one_of(
                alike, event.data, f"{event.kind} event", "", masks, exact=event.kind == "error"
            )
            found += [
                f"event {at}: {one}" for one in told if not any(one in before for before in found)
            ]
    return found + _stream_totals(wanted, came)


def _compact_event(chunk: str) -> bool:
    data = [line.removeprefix("data: ") for line in chunk.split("\n") if line.startswith("data: {")]
    return all(map(compact, data))


def _event(chunk: str) -> Event:
    lines = chunk.removesuffix("\n\n").split("\n")
    names = [line.partition(":")[0] for line in lines]
    text = "\n".join(line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    if text == "[DONE]":
        return Event("done", lines=names)
    data = json.loads(text)
    if "choices" not in data:
        kind = "error" if "error" in data else data.get("type", "?")
        # Anthropic's deltas: of text, of thinking, of a signature, of a tool's input.
        kind = data["delta"]["type"] if kind == "content_block_delta" else kind
        return Event(kind, data, lines=names)
    if not data["choices"]:
        return Event("usage", data, lines=names)
    choice = data["choices"][0]
    kind = (
        "finish"
        if choice.get("finish_reason")
        else "role"
        if "role" in choice.get("delta", ())
        else "token"
    )
    return Event(kind, data, choice["index"], names)


def _order(events: list[Event]) -> dict[int | None, list[str]]:
    """The kinds of events in order, for each choice; runs of tokens count as one."""
    order: dict[int | None, list[str]] = {}
    for event in events:
        kinds = order.setdefault(event.choice, [])
        runs = event.kind == "token" or event.kind.endswith((".delta", "_delta"))
        if not (runs and kinds and kinds[-1] == event.kind):
            kinds.append(event.kind)
    return dict(sorted(order.items(), key=lambda item: -1 if item[0] is None else item[0]))


def _stream_totals(wanted: list[Event], came: list[Event]) -> list[str]:
    found = []
    totals = [
        next((event.data for event in events if event.kind == "usage"), None)
        for events in (wanted, came)
    ]
    if all(totals) and _all_cut([event.data for event in wanted if event.data]):
        found += _counts(*totals)
    ids = {event.data["id"] for event in came if event.data and "choices" in event.data}
    return found + ([f"{len(ids)} ids in one stream"] if len(ids) > 1 else [])


def _all_cut(bodies: list[Any]) -> bool:
    """Whether all choices ended by `length`, so that the request sets their tokens."""
    reasons = {
        choice.get("finish_reason") for body in bodies for choice in body.get("choices", ())
    } - {None}
    return reasons == {"length"}


def _counts(want: Any, got: Any) -> list[str]:
    want, got = want.get("usage") or {}, got.get("usage") or {}
    found = []
    if want.get("completion_tokens") != got.get("completion_tokens"):
        found.append(
            f"usage: {got.get('completion_tokens')} completion tokens, expected {want.get('completion_tokens')}"
        )
    if got and got["total_tokens"] != got["prompt_tokens"] + got["completion_tokens"]:
        found.append("usage: the total is not the sum")
    return found


def _metrics_problems(families: dict[str, Any], page: str) -> list[str]:
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)", page, re.MULTILINE))
    found = []
    for name, (kind, labels) in families.items():
        line = re.search(rf"^{re.escape(name)}(?:_bucket|_count)?\{{(.*?)\}} ", page, re.MULTILINE)
        has = [label for label in re.findall(r'(\w+)="', line[1]) if label != "le"] if line else []
        if [kinds.get(name), has] != [kind, labels]:
            found.append(f"{name}: {kinds.get(name)} {has}, expected {kind} {labels}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", required=True, help="a server without flags, without /v1")
    parser.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="KIND=URL",
        help="one with the flags of this kind, see golden/README.md",
    )
    parser.add_argument(
        "--writes",
        action="store_true",
        help="also the cases with `writes`, which a model seldom writes by itself",
    )
    parser.add_argument("--only", default="", help="a regular expression that names of cases match")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    urls = {"default": arguments.base_url}
    urls |= dict(pair.split("=", 1) for pair in arguments.server)
    good = total = skipped = 0
    for path in sorted(arguments.folder.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        if not re.search(arguments.only, case["name"]):
            continue
        url = urls.get(case["server"])
        if url is None or ("writes" in case and not arguments.writes):
            skipped += 1
            continue
        try:
            said = problems(case, send(url, case["request"]))
        except Exception as error:  # a server may do anything; one case must not end the run
            said = [f"failed: {error!r}"]
        print(
            *(f"{'note ' if case.get('advisory') else ''}{case['name']}: {one}" for one in said),
            sep="\n",
            end="\n" if said else "",
        )
        total += not case.get("advisory")
        good += not said and not case.get("advisory")
    print(f"{good}/{total} transcripts match, {skipped} skipped")
    return 0 if total and good == total else 1


if __name__ == "__main__":
    sys.exit(main())
