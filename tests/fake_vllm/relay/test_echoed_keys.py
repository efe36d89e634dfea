"""No recording, ledger or log has a key that the server repeats."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx2
import pytest

from fake_vllm.testing import FakeVllm

KEY = "sk-canary-9f8e7d6c"
BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()
CASES = {
    "cookies": ({"cookie": f'a=b; session="{KEY}"; theme=dark'}, ""),
    "a password": ({"authorization": f"Basic {BASIC}"}, ""),
    "a header of Azure": ({"ocp-apim-subscription-key": KEY}, ""),
    "a header of Helicone": ({"helicone-auth": f"Bearer {KEY}"}, ""),
    "a signature": ({}, f"?sv=1&sig={quote(KEY + '+/=')}"),
    "a parameter twice": ({}, f"?key={KEY}&key=other-other"),
    "an address": ({"referer": f"http://u:{KEY}@host/x?api_key={KEY}"}, ""),
    "a path": ({"x-api-key": KEY}, f"/{KEY}"),
    "a parameter with another name": ({"x-api-key": KEY}, f"?user={KEY}"),
    "a parameter quoted in part": ({"x-api-key": KEY}, f"?user={KEY.replace('-', '%2D')}"),
    "a path quoted in part": ({"x-api-key": KEY}, f"/{KEY.replace('sk', '%73k')}"),
    "the id of a request": ({"x-api-key": KEY, "x-request-id": f"r-{KEY}"}, ""),
    "a path quoted twice": ({"x-api-key": KEY}, f"/{KEY.replace('-', '%252D')}"),
}
IN_BODY = {
    "the first of two keys": [("x-api-key", KEY), ("x-api-key", "sk-other-123456")],
    "the first of three keys": [("x-api-key", each) for each in (KEY, "sk-other", "sk-third")],
    "the first of two cookies": [("cookie", f"session={KEY}"), ("cookie", "theme=dark")],
    "the first of two accounts": [
        ("authorization", f"Bearer {KEY}"),
        ("authorization", "Bearer x"),
    ],
    "the second of two accounts": [
        ("Authorization", "Bearer x"),
        ("authorization", f"Bearer {KEY}"),
    ],
    "the key of a proxy": [("proxy-authorization", f"Bearer {KEY}")],
}
"""Headers whose key the body repeats; not all of them are passed on."""


class Echo(BaseHTTPRequestHandler):
    """A server that answers with what it was sent, values without names and passwords included."""

    def do_POST(self) -> None:
        cookies = self.headers.get("cookie", "").split("; ")
        said = [self.requestline, *map(": ".join, self.headers.items())]
        said += [cookie.partition("=")[2] for cookie in cookies]
        scheme, _, sent = self.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            said.append(base64.b64decode(sent).decode())
        body = "\n".join(said).encode()
        body += self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("x-echo", "|".join(said[2:]).replace("\n", " "))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def echoing() -> Iterator[str]:
    """The address of the server that repeats."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a fake in front of that server keeps of each case, and its log."""
    root = tmp_path_factory.mktemp("echoed")
    kept, before = {}, set[Path]()
    with (
        echoing() as address,
        FakeVllm(
            "finite", upstream=address, record=root / "recordings", access_log=root / "log"
        ) as front,
        httpx2.Client(trust_env=False) as client,
    ):
        cases = {
            case: (list(headers.items()), more, "{}") for case, (headers, more) in CASES.items()
        }
        cases |= {case: (headers, "", KEY) for case, headers in IN_BODY.items()}
        for case, (headers, more, content) in cases.items():
            answer = client.post(f"{front.root}/v1/x{more}", headers=headers, content=content)
            assert "canary" in answer.text  # the client itself gets all
            files = set((root / "recordings").iterdir()) - before
            before |= files
            assert files
            number = front.requests[-1].number
            ledger = client.get(f"{front.root}/ledger/{number}/request").text
            ledger += client.get(f"{front.root}/ledger").text
            kept[case] = "".join(file.name + file.read_text() for file in files) + ledger
    return {**kept, "the access log": (root / "log").read_text()}


@pytest.mark.parametrize("case", [*CASES, *IN_BODY, "the access log"])
def test_no_file_and_no_route_has_the_key(case: str, seen: dict[str, str]) -> None:
    assert "removed" in seen[case]
    assert "canary" not in seen[case]
