"""Routes beside the model's own: pages, a path before all others, keys, WebSockets, counts."""

import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest

from fake_vllm.testing import FakeVllm
from tests.fake_vllm.raw import ask, read

PAGES = ("/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeVllm]:
    with FakeVllm("finite:tokens=3", gap=0, root_path="/base", api_key="key") as fake:
        yield fake


@pytest.fixture(scope="module")
def http(server: FakeVllm) -> Iterator[httpx2.Client]:
    root = server.base_url.removesuffix("/v1")
    headers = {"authorization": "Bearer key"}
    with httpx2.Client(base_url=root, headers=headers, trust_env=False) as client:
        yield client


def test_the_document_lists_the_routes_and_their_methods(http: httpx2.Client) -> None:
    document = http.get("/openapi.json").json()
    paths = {path: set(methods) for path, methods in document["paths"].items()}
    assert paths["/v1/messages"] == {"post"}
    assert paths["/ping"] == {"get", "post"}
    assert paths["/v1/responses/{response_id}"] == {"get"}
    assert not {"/openapi.json", "/docs", "/metrics/"} & paths.keys()
    for path, methods in paths.items():
        for method in ("get", "post"):
            status = http.request(method, path.replace("{response_id}", "resp_1")).status_code
            assert (status == 405) is (method not in methods), path
    assert document["servers"] == [{"url": "/base"}]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_the_root_path_and_answers_a_head(path: str, http: httpx2.Client) -> None:
    page, head = http.get(path), http.head(path)
    assert (page.status_code, head.status_code, head.content) == (200, 200, b"")
    assert head.headers["content-length"] == str(len(page.content))
    assert "{root}" not in page.text
    assert page.content == http.get(f"/base{path}").content
    assert http.post(path).headers["allow"] == "GET, HEAD"


def test_a_path_is_found_once_below_the_root_path(http: httpx2.Client) -> None:
    statuses = {
        path: http.get(path).status_code
        for path in ("/version", "/base/version", "/base", "/basex/version", "/base/base/version")
    }
    assert list(statuses.values()) == [200, 200, 404, 404, 404]
    root = str(http.base_url).rstrip("/")
    redirect = http.get("/base/v1/models/?a=1")
    assert redirect.headers["location"] == f"{root}/base/v1/models?a=1"
    key = {"authorization": "Bearer other"}
    for path in ("/v1/models", "/base/v1/models", "/v2/nope", "/inference/x", "/cohere/x", "/v1x"):
        assert http.get(path, headers=key).status_code == 401, path
    for path in ("/invocations", "/base/invocations"):
        body = {"prompt": "Hi", "max_tokens": 1}
        assert http.post(path, json=body, headers=key).status_code == 200


def test_the_ledger_and_rules_have_the_path_below_the_root_path(
    http: httpx2.Client, server: FakeVllm
) -> None:
    server.when(path="/v1/completions").answer("matched")
    answer = http.post("/base/v1/completions", json={"prompt": "Hi"}).json()
    server.reset()
    assert answer["choices"][0]["text"] == "matched"
    http.post("/base/v1/completions", json={"prompt": "Hi"})
    assert server.requests[-1].path == "/v1/completions"


def test_a_server_without_pages_has_none() -> None:
    with FakeVllm(disable_fastapi_docs=True) as fake:
        root = fake.base_url.removesuffix("/v1")
        statuses = {httpx2.get(f"{root}{path}", trust_env=False).status_code for path in PAGES}
    assert statuses == {404}


def test_a_websocket_is_refused(server: FakeVllm) -> None:
    address = urlsplit(server.base_url)
    with socket.create_connection((str(address.hostname), address.port or 0), 5) as connection:
        connection.sendall(
            b"GET /v1/realtime HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, Upgrade\r\n"
            b"upgrade: WebSocket\r\nsec-websocket-version: 13\r\n\r\n"
        )
        head, body = read(connection)  # until the server closes
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")]
    assert names == [
        *(b"HTTP/1.1 403 Forbidden", b"Date", b"Connection", b"Content-Length", b"Content-Type")
    ]
    assert body == b""
    assert server.requests[-1].status == 403


def counted(http: httpx2.Client) -> dict[str, float]:
    page = http.get("/metrics").text
    return {
        series: float(value)
        for series, value in re.findall(r"^(http_\S+) (\S+)$", page, re.MULTILINE)
    }


def test_requests_are_counted_by_route_method_and_status(
    http: httpx2.Client, server: FakeVllm
) -> None:
    before = counted(http)
    body = {"prompt": "Hi", "max_tokens": 2}
    sent = [http.post("/v1/completions", json={**body, **more}) for more in ({}, {"n": 0})]
    http.get("/nowhere")
    http.get("/v1/models/")
    http.get("/v1/responses/resp_1")
    http.get("/health")
    http.get("/v1/models", headers={"authorization": ""})
    http.get("/ledger")
    more = {
        series: value - before.get(series, 0)
        for series, value in counted(http).items()
        if value != before.get(series, 0) and "_created" not in series and "le=" not in series
    }
    requests = {
        tuple(re.findall(r'="(.*?)"', series)): value
        for series, value in more.items()
        if series.startswith("http_requests_total")
    }
    assert requests == {
        ("/v1/completions", "POST", "2xx"): 1,
        ("/v1/completions", "POST", "4xx"): 1,
        ("none", "GET", "4xx"): 1,
        ("/v1/models", "GET", "3xx"): 1,
        ("/v1/responses/{response_id}", "GET", "4xx"): 1,
    }
    handler = '{handler="/v1/completions"}'
    assert more[f"http_request_size_bytes_count{handler}"] == 2
    assert more[f"http_request_size_bytes_sum{handler}"] == sum(
        int(answer.request.headers["content-length"]) for answer in sent
    )
    assert more[f"http_response_size_bytes_sum{handler}"] == sum(
        len(answer.content) for answer in sent
    )
    assert more["http_request_duration_highr_seconds_count"] == 5


def test_a_stream_is_counted_when_it_ends_in_any_way() -> None:
    with FakeVllm("endless", gap=0.01) as fake:
        root = fake.base_url.removesuffix("/v1")
        with httpx2.Client(base_url=root, trust_env=False) as http:
            series = (
                'http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"}'
            )
            with ask(fake, "endless"):
                fake.until_started()
                assert series not in counted(http)
            fake.until_over()
            assert counted(http)[series] == 1
            with ask(fake, "reset:after=2") as connection:
                connection.recv(1)
            fake.until_over()
            seen = counted(http)
    assert seen[series] == 2
    assert seen['http_response_size_bytes_sum{handler="/v1/chat/completions"}'] == 0
