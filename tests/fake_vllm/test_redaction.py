"""A key is known by the name of its header or parameter, and found everywhere."""

import base64
from urllib.parse import quote

import pytest

from fake_vllm.redaction import (
    address_without_secrets,
    is_secret,
    pieces_without,
    query_without_secrets,
    secrets_of,
    shown_value,
    without,
)

KEY = "sk-canary/9+x="
BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()

SENT: dict[str, tuple[dict[str, str], str]] = {
    "the only cookie": ({"cookie": f"session={KEY}"}, ""),
    "one of several cookies": ({"cookie": f"a=b; session={KEY}; theme=dark"}, ""),
    "a cookie in quotes": ({"cookie": f'session="{KEY}"; t=1'}, ""),
    "a quoted cookie": ({"cookie": f"session={quote(KEY, safe='')}; t=1"}, ""),
    "a cookie without a name": ({"cookie": f"{KEY}; t=1"}, ""),
    "a password": ({"authorization": f"Basic {BASIC}"}, ""),
    "a password without padding": ({"authorization": f"basic {BASIC.rstrip('=')}"}, ""),
    "a user without a password": (
        {"authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()},
        "",
    ),
    "a key after a tabulator": ({"authorization": f"Bearer\t{KEY}"}, ""),
    "a key with a name": ({"authorization": f'ApiKey key="{KEY}", x=1'}, ""),
    "the first of two parameters": ({}, f"key={KEY}&key=other"),
    "a parameter after a semicolon": ({}, f"a=1;key={KEY}"),
    "a parameter before a semicolon": ({}, f"key={KEY};a=1"),
    "a parameter in an address": ({"referer": f"http://host/x?b=2&api_key={KEY}"}, ""),
    "a parameter before a fragment": ({"x-original-url": f"/v1?token={KEY}#x"}, ""),
    "a parameter in a fragment": ({"referer": f"http://host/#a=1&access_token={KEY}"}, ""),
    "a parameter in an address in angle brackets": ({"link": f"<http://h/?sig={KEY}>; a=b"}, ""),
    "a parameter in an address in a parameter": (
        {},
        f"next={quote(f'http://host/?api_key={quote(KEY)}', safe='')}",
    ),
    "a password in an address": ({"referer": f"http://u:{quote(KEY, safe='')}@host/x"}, ""),
    "a password in an address in a parameter": ({}, f"next=http://u:{quote(KEY, safe='')}@host/"),
    "a user in an address": ({"referer": f"http://{quote(KEY, safe='')}@host/x"}, ""),
}


@pytest.mark.parametrize(("headers", "query"), SENT.values(), ids=SENT)
def test_a_key_is_found_without_its_name(headers: dict[str, str], query: str) -> None:
    secrets = secrets_of(headers, query)
    assert without(f"You sent {KEY}.", secrets) == "You sent removed."
    assert pieces_without([f"You sent {KEY}.".encode()], secrets) == [b"You sent removed."]
    shown = [query_without_secrets(query), *(shown_value(*each) for each in headers.items())]
    assert "canary" not in "".join(shown)


@pytest.mark.parametrize("sent", ["sk-canary/9%2Bx%3D", "sk-canary/9%2bx%3d", "sk%2Dcanary/9+x="])
def test_a_parameter_is_found_as_it_stood_in_the_query(sent: str) -> None:
    secrets = secrets_of({}, f"sv=1&sig={sent}")
    assert without(f"POST /v1?sv=1&sig={sent} HTTP/1.1", secrets) == (
        "POST /v1?sv=1&sig=removed HTTP/1.1"
    )


@pytest.mark.parametrize(
    "written",
    [
        *("sk-canary%20a%2F%2B", "sk-canary%20a%2f%2b", "sk-canary%20a/%2B"),
        *("sk-canary+a%2F%2B", "sk-canary+a/%2B", "sk-canary a/+"),
    ],
)
def test_a_key_is_found_as_addresses_and_forms_quote_it(written: str) -> None:
    assert without(f"?q={written}", ["sk-canary a/+"]) == "?q=removed"


@pytest.mark.parametrize(
    "name",
    [
        *("Ocp-Apim-Subscription-Key", "Helicone-Auth", "X-Auth", "x-functions-key", "Signature"),
        *("X-Hub-Signature-256", "X-Auth-Key", "cf-access-jwt-assertion", "X-Access-Key"),
    ],
)
def test_the_header_of_a_key_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Idempotency-Key", "sec-websocket-key", "Surrogate-Key", "X-Cache-Key", "monkey"),
        *("authority", "x-author", "www-authenticate", "sig-nal", "key-size", "design"),
    ],
)
def test_the_header_of_something_else_is_shown(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("subscription-key", "access_key", "X-Amz-Signature", "X-Goog-Signature", "accessKey"),
        *("subscriptionKey", "app_key", "client_assertion", "jwt"),
    ],
)
def test_the_parameter_of_a_key_is_known(name: str) -> None:
    assert query_without_secrets(f"a=1&{name}=b&c=2") == f"a=1&{name}=removed&c=2"


@pytest.mark.parametrize("name", ["monkey", "sort_key", "cacheKey", "max_tokens", "encode", "q"])
def test_the_parameter_of_something_else_is_shown(name: str) -> None:
    assert query_without_secrets(f"{name}=b") == f"{name}=b"


@pytest.mark.parametrize(
    "address",
    ["http://host:80/x?a=%2F&b=c+d#e", "/v1/a@b?x=//y", "Mozilla/5.0 (a; b=c)", "*/*", "a;q=0.9"],
)
def test_a_text_without_a_key_is_shown_as_it_came(address: str) -> None:
    assert address_without_secrets(address) == address


def test_addresses_nested_in_addresses_end() -> None:
    query = "a=?" * 20_000
    assert secrets_of({"referer": f"/?{query}"}, query) == []
    assert query_without_secrets(query) == query
