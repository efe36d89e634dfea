"""Which requests the fake's own routes answer, by key, host name and page."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from fake_vllm.api import Refused
from fake_vllm.control import ROUTES
from fake_vllm.guard import Guard
from fake_vllm.http.listening import is_reachable
from fake_vllm.settings import make
from fake_vllm.testing import FakeVllm
from tests.fake_vllm.browser import CHROMIUM, opened
from tests.fake_vllm.raw import ask, read
from tests.fake_vllm.test_cli import start

API_KEY, ADMIN_KEY = "sk-of-the-model", "key-of-the-fake"
OWN = (*ROUTES, "/ledger/1/request")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


@pytest.fixture(scope="module")
def keyed() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=1", gap=0, api_key=API_KEY) as fake:
        yield fake


@pytest.fixture(scope="module")
def http(keyed: FakeVllm) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=keyed.root, trust_env=False) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


class TestKeys:
    @pytest.mark.parametrize("path", OWN)
    def test_every_own_route_of_a_server_with_a_key_needs_it(
        self, path: str, http: httpx2.Client
    ) -> None:
        for method in METHODS:
            for headers in (
                {},
                bearer("other"),
                {"authorization": "Bearer"},
                {"authorization": API_KEY},
            ):
                answer = http.request(method, path, headers=headers)
                assert answer.status_code == 401, (method, headers)
                assert answer.headers["www-authenticate"] == "Bearer"
        assert "--admin-key" in http.get(path).json()["error"]["message"]

    def test_vllms_routes_without_a_key_stay_open(self, http: httpx2.Client) -> None:
        for path in ("/health", "/version", "/metrics", "/ping", "/load", "/docs"):
            assert http.get(path).status_code == 200, path

    def test_the_fixture_and_the_key_open_them(self, keyed: FakeVllm, http: httpx2.Client) -> None:
        keyed.clear()
        http.post("/v1/chat/completions", json=CHAT, headers=bearer(API_KEY))
        assert keyed.until_over().json == CHAT
        assert asyncio.run(keyed.aio.requests()) == keyed.requests
        assert http.get("/ledger", headers=bearer(API_KEY)).json()["requests"]
        keyed.reset()

    def test_the_text_at_the_root_says_no_scenario_without_the_key(
        self, http: httpx2.Client
    ) -> None:
        assert "finite" not in http.get("/").text
        assert "need the key" in http.get("/").text
        assert "finite:tokens=1" in http.get("/", headers=bearer(API_KEY)).text

    @pytest.mark.parametrize("named", [{"fake_scenario": "engine_death"}, {}])
    def test_a_request_without_the_key_chooses_no_scenario_on_an_open_path(
        self, named: dict[str, str], http: httpx2.Client
    ) -> None:
        headers = {} if named else {"x-fake-scenario": "engine_death"}
        body = {**CHAT, **named}
        assert http.post("/invocations", json=CHAT).status_code == 200
        assert http.post("/invocations", json=body, headers=headers).status_code == 401
        harmless = {**bearer(API_KEY), "x-fake-scenario": "crlf"}
        assert http.post("/invocations", json=CHAT, headers=harmless).status_code == 200
        assert http.get("/health").status_code == 200

    @pytest.mark.parametrize("how", ["answer", "close", "reset", "refuse_continue", "slow"])
    def test_a_request_without_the_key_chooses_no_fault_of_its_upload(
        self, how: str, keyed: FakeVllm, http: httpx2.Client
    ) -> None:
        keyed.clear()
        chosen = {"x-fake-scenario": f"upload:how={how}", "expect": "100-continue"}
        for headers in (chosen, {**chosen, **bearer("other")}):
            answer = http.post("/v1/chat/completions", json=CHAT, headers=headers)
            assert (answer.status_code, answer.text) == (401, '{"error":"Unauthorized"}')
        assert [(each.scenario, each.status) for each in keyed.requests] == [("", 401)] * 2

    def test_the_servers_own_fault_of_uploads_waits_for_the_key_too(
        self, keyed: FakeVllm, http: httpx2.Client
    ) -> None:
        keyed.play("upload:how=answer,status=503")
        statuses = [
            http.post("/v1/chat/completions", json=CHAT, headers=headers).status_code
            for headers in ({}, bearer(API_KEY))
        ]
        keyed.reset()
        assert statuses == [401, 503]

    def test_an_admin_key_takes_the_place_of_the_api_key(self) -> None:
        guard = Guard(make({"api_key": API_KEY, "admin_key": ADMIN_KEY}))
        assert guard.knows_key(asked(**bearer(ADMIN_KEY)))
        assert not guard.knows_key(asked(**bearer(API_KEY)))
        assert guard.lets_in(asked("/v1/models", **bearer(API_KEY)))
        assert not guard.lets_in(asked("/v1/models", **bearer(ADMIN_KEY)))
        assert not guard.knows_key(asked(authorization="Bearer käy"))

    def test_a_key_is_in_no_text_about_the_settings(self) -> None:
        settings = make({"api_key": API_KEY, "admin_key": ADMIN_KEY})
        assert API_KEY not in repr(settings)
        assert ADMIN_KEY not in repr(settings)


def asked(path: str = "/ledger", **headers: str) -> Any:
    """Stands in for an exchange."""
    return SimpleNamespace(path=path, method="GET", headers=headers)


def refusal(settings: dict[str, Any], **headers: str) -> int | None:
    """The status of the refusal of a request. None: it is let in."""
    try:
        Guard(make(settings)).check(asked(**headers))
    except Refused as refused:
        return refused.status
    return None


class TestHostNames:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1:8000", "localhost:8000", "LOCALHOST.", "[::1]:8000", "fake.localhost"),
            *("192.168.1.7", "[2001:db8::1]:80", "0.0.0.0:8000", ""),
            *("gpu-box:8000", "Fake.example", "fake.example.:80"),
        ],
    )
    def test_addresses_local_names_and_names_of_the_server_are_answered(self, host: str) -> None:
        settings = {"host": ["gpu-box"], "allowed_host": ["fake.EXAMPLE"]}
        assert refusal(settings, host=host) is None

    @pytest.mark.parametrize(
        "host",
        [
            *("evil.example", "evil.example:8000", "localhost.evil.example", "notlocalhost"),
            *("127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil.example#127.0.0.1"),
            *("[::1].evil.example", "2130706433.example", "gpu-box.evil"),
        ],
    )
    def test_a_name_that_a_page_may_have_bound_to_this_server_is_refused(self, host: str) -> None:
        assert refusal({"host": ["127.0.0.1", "gpu-box"]}, host=host) == 421

    def test_a_unix_socket_is_asked_under_any_name(self) -> None:
        assert refusal({"uds": "x"}, host="anything") is None

    def test_the_answer_says_what_to_do_and_v1_does_not_look(
        self, keyed: FakeVllm, http: httpx2.Client
    ) -> None:
        keyed.reset()
        headers = {"host": "evil.example", **bearer(API_KEY)}
        for path in ("/ledger", "/"):
            answer = http.get(path, headers=headers)
            assert answer.status_code == 421
            assert "--allowed-host evil.example" in answer.json()["error"]["message"]
        for path in ("/v1/models", "/health", "/metrics"):
            assert http.get(path, headers=headers).status_code == 200
        assert keyed.requests == []


class TestPages:
    @pytest.mark.parametrize(
        ("origin", "allowed", "status"),
        [
            ("http://127.0.0.1:8000", [], None),
            ("http://127.0.0.1:8001", [], 403),
            ("http://evil.example", [], 403),
            ("null", [], 403),
            ("", [], 403),
            ("http://app.example", ["http://app.example"], None),
            ("http://evil.example", ["*"], 403),  # allows /v1 and no more
        ],
    )
    def test_a_page_of_another_origin_may_not_use_them(
        self, origin: str, allowed: list[str], status: int | None
    ) -> None:
        settings = {"allowed_origins": allowed}
        assert refusal(settings, host="127.0.0.1:8000", origin=origin) == status

    def test_a_form_of_another_page_changes_nothing(
        self, keyed: FakeVllm, http: httpx2.Client
    ) -> None:
        headers = {"origin": "http://evil.example", "content-type": "text/plain", **bearer(API_KEY)}
        before = http.get("/rules", headers=bearer(API_KEY)).json()
        for path in ("/rules", "/reset"):
            sent = http.post(path, headers=headers, content=b'{"say": "x"}')
            assert sent.status_code == 403
        assert http.get("/rules", headers=bearer(API_KEY)).json() == before

    def test_the_page_loads_nothing_and_stands_in_no_frame(self, http: httpx2.Client) -> None:
        headers = http.get("/", headers={"accept": "text/html"}).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


class TestOtherMachines:
    @pytest.mark.parametrize(
        ("address", "reachable"),
        [
            *(("127.0.0.1", False), ("127.8.9.1", False), ("::1", False)),
            *(("::ffff:127.0.0.1", False), ("0.0.0.0", True), ("::", True), ("10.0.0.5", True)),
            *(("fe80::1%eth0", True), ("::ffff:10.0.0.5", True), ("2001:db8::1", True)),
        ],
    )
    def test_a_server_is_reachable_unless_its_address_is_a_loopback_one(
        self, address: str, reachable: bool
    ) -> None:
        def listening(at: str) -> Any:
            return SimpleNamespace(family=socket.AF_INET6, getsockname=lambda: (at, 80, 0, 0))

        assert is_reachable([listening(address)]) is reachable
        assert is_reachable([listening("::1"), listening(address)]) is reachable

    def test_a_unix_socket_is_not_reachable_from_other_machines(self) -> None:
        with socket.socket(socket.AF_UNIX) as unix:
            assert not is_reachable([unix])

    def test_such_a_server_makes_a_key_and_prints_it(self) -> None:
        process, line = start("--host", "0.0.0.0")
        try:
            assert process.stdout is not None
            root = line.split()[1].removesuffix("/v1")
            key = line.rstrip().partition("/#key=")[2].removesuffix(" to watch it")
            assert len(key) >= 20
            assert f"Bearer {key}" in process.stdout.readline()
            with httpx2.Client(base_url=root, trust_env=False) as client:
                assert client.get("/ledger").status_code == 401
                assert client.get("/ledger", headers=bearer(key)).status_code == 200
                assert client.get("/health").status_code == 200
                assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
        finally:
            process.terminate()
            process.wait()

    def test_the_fixture_needs_no_other_key_there(self) -> None:
        with FakeVllm(host="0.0.0.0") as fake:
            assert fake.requests == []
            assert httpx2.get(f"{fake.root}/ledger", trust_env=False).status_code == 401


INJECTED = '<img src=x onerror="window.hacked=1">'


@pytest.mark.skipif(
    CHROMIUM is None,
    reason="needs Chromium, which is not on this machine (Debian: apt-get install chromium)",
)
def test_the_page_asks_for_the_key_and_shows_what_clients_sent_as_text(
    keyed: FakeVllm, http: httpx2.Client, tmp_path: Path
) -> None:
    keyed.reset()
    scenario = f"finite:tokens=1+refuse:key='{INJECTED}'"
    http.post(
        "/v1/chat/completions",
        json={**CHAT, "fake_scenario": scenario, "user": INJECTED},
        headers={**bearer(API_KEY), "x-request-id": INJECTED, "user-agent": INJECTED},
    )
    rows = "document.querySelectorAll('#requests tr').length"
    form = "document.querySelector('#ask')"
    with opened(keyed.root + "/", tmp_path) as page:
        page.wait_for(f"!{form}.hidden")
        assert page.evaluate("document.querySelector('#none').hidden")  # it cannot know that yet
        for key, done in (("wrong", "!document.querySelector('#wrong').hidden"), (API_KEY, rows)):
            page.evaluate(f"document.querySelector('#key').value = '{key}'; {form}.requestSubmit()")
            page.wait_for(f"{done} && true")
        assert page.evaluate(f"{form}.hidden") is True
        assert scenario in page.evaluate("document.querySelector('td.scenario').textContent")
        assert INJECTED in page.evaluate("document.querySelector('td.id').textContent")
        assert page.evaluate("window.hacked === undefined && !document.querySelector('img')")
        page.evaluate(f"sessionStorage.clear(); location.hash = 'key={API_KEY}'; location.reload()")
        page.wait_for(f"{rows} === 1")


def test_a_program_without_the_key_reads_no_request_of_another_client(keyed: FakeVllm) -> None:
    address = urlsplit(keyed.root)
    with socket.create_connection((str(address.hostname), address.port or 0), 5) as connection:
        connection.sendall(b"GET /ledger/1/request HTTP/1.1\r\nhost: localhost\r\n\r\n")
        head, _ = read(connection, until=b"}")
    assert head.startswith(b"HTTP/1.1 401 ")


def test_the_own_routes_answer_on_a_server_that_reads_nothing() -> None:
    with FakeVllm("never_read", api_key=API_KEY) as fake, ask(fake, ""):
        assert fake.requests == []
        answer = httpx2.get(f"{fake.root}/ledger", trust_env=False, timeout=10)
        assert answer.status_code == 401
