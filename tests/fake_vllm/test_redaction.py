"""A key is known by the name of its header or parameter, and found everywhere."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

import pytest

from fake_vllm.redaction import (
    address_without_secrets,
    is_secret,
    pieces_without,
    place_of,
    query_without_secrets,
    secrets_of,
    shown_value,
    without,
    without_secrets,
)
from fake_vllm.relay.address import Address

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
    "a key as the user": (
        {"authorization": "Basic " + base64.b64encode(f"{KEY}:x".encode()).decode()},
        "",
    ),
    "a key as the user of an address": ({"referer": f"http://{quote(KEY, safe='')}:x@host/"}, ""),
    "a key in quotes": ({"authorization": f'Bearer "{KEY}"'}, ""),
    "a key before other words": ({"authorization": f"Bearer {KEY} v2-extra"}, ""),
    "the first of two keys": ({"x-api-key": f"{KEY}, sk-other-123456"}, ""),
    "the first of two keys with a blank": ({"x-api-key": f"{KEY} sk-other-123456"}, ""),
    "the second of two keys": ({"x-api-key": f"sk-other-123456;'{KEY}'"}, ""),
    "a key after its id": ({"authorization": f"ApiKey id:{KEY}"}, ""),
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


SPELLED: dict[str, tuple[str, str]] = {
    "JSON with capitals": (KEY, r"sk-canary/9\u002Bx="),
    "JSON with an equals sign": (KEY, r"sk-canary/9+x\u003d"),
    "JSON of every character": (KEY, "".join(f"\\u{ord(each):04x}" for each in KEY)),
    "JSON in JSON": (KEY, r"sk-canary\\\/9\\u002bx="),
    "a quote in JSON in JSON": ('sk-"canary"-1', json.dumps(json.dumps('sk-"canary"-1'))[3:-3]),
    "a letter in JSON": ("sk-canary-é-1", r"sk-canary-\u00E9-1"),
    "a sign of two surrogates": ("sk-canary-😀", r"sk-canary-\uD83D\uDE00"),
    "bytes in Python": (KEY, r"sk-canary/9\x2bx="),
    "HTML": ("sk-canary&<1>", "sk-canary&amp;&lt;1&gt;"),
    "HTML with numbers": (KEY, "sk-canary/9&#43;x&#x3D;"),
    "HTML of HTML": ("sk-canary&1", "sk-canary&amp;amp;1"),
    "HTML of JSON": ('sk-"canary"-1', r"sk-\&quot;canary\&quot;-1"),
    "a URL in a URL": (KEY, "sk-canary%252F9%252Bx%253D"),
    "JSON in a URL": (KEY, quote(r"sk-canary\/9\u002Bx=", safe="")),
    "a part in a URL": (KEY, "sk%2Dcanary/9+x%3d"),
    "every other character in a URL": (KEY, "s%6B-%63anary/9%2bx="),
    "JavaScript's encodeURIComponent": ("sk canary!(1)", "sk%20canary!(1)"),
}


@pytest.mark.parametrize(("key", "written"), SPELLED.values(), ids=SPELLED)
def test_a_key_is_found_in_every_spelling(key: str, written: str) -> None:
    header = key.encode().decode("latin-1")  # as headers are read
    secrets = secrets_of({"x-api-key": header})
    assert without(f"You sent {written}.", secrets) == "You sent removed."
    body = f'data: {{"a":"You sent {written}."}}\n\n'
    for encoding in ("utf-8", "utf-16-le", "utf-32-be") if key.isascii() else ("utf-8",):
        wanted = [body.replace(written, "removed").encode(encoding)]
        assert pieces_without([body.encode(encoding)], secrets) == wanted
    pieces = pieces_without([bytes((each,)) for each in body.encode()], secrets)
    assert b"".join(pieces).decode() == body.replace(written, "removed")
    for end in range(len(written) - 1, 0, -1):
        (left,) = pieces_without([f"You sent {written[:end]}".encode()], secrets)
        assert "canary" not in left.decode() or end < len(written) // 2 + 8


@pytest.mark.parametrize(
    "body", [r"a\nsk-key-12345 b", r"C:\\sk-key-12345 b", "%2Fsk-key-12345", "%25sk-key-12345"]
)
def test_a_key_is_found_whole_after_other_text(body: str) -> None:
    assert "sk-key" not in without(body, ["sk-key-12345"])
    assert "abkey-12345" not in without(f"%25{body}abkey-12345", ["abkey-12345"])


@pytest.mark.parametrize("around", ["", '"', "'", "\\", '"\\'])
@pytest.mark.parametrize("times", [1, 2])
def test_json_stays_json_whatever_stands_around_a_key(around: str, times: int) -> None:
    for secrets in (
        secrets_of({"x-api-key": f"{around}sk-key-12345{around}"}),
        secrets_of({}, "key=" + quote(f"{around}sk-key-12345{around}")),
    ):
        for value in ("sk-key-12345", f"{around}sk-key-12345{around}", '"sk-key-12345\\'):
            body: Any = {"k": value}
            for _ in range(times):
                body = json.dumps(body)
            body = without(body, secrets)
            for _ in range(times):
                body = json.loads(body)
            assert body["k"].strip("\"'\\") == "removed"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "key", ["sk-key-12345", "sk-key-é", "😀" * 8, "sk-key-12345…", "…sk-key-12345", "Āsk-key-123Ā"]
)
def test_a_wide_body_keeps_its_characters_whole(key: str, encoding: str) -> None:
    secrets = secrets_of({"x-api-key": key.encode().decode("latin-1")})
    for body in ('{"k":"%s"}', '{"k":"é%s…"}', '{"k":"…%sé%s"}'):
        sent = body.replace("%s", key).encode(encoding)
        for pieces in ([sent], [sent[at : at + 3] for at in range(0, len(sent), 3)]):
            kept = b"".join(pieces_without(pieces, secrets))
            assert kept.decode(encoding) == body.replace("%s", "removed")


@pytest.mark.parametrize("value", ["\0" * 8, "\\" * 8, '"' * 8])
def test_a_secret_of_signs_alone_is_none(value: str) -> None:
    secrets = secrets_of({"x-api-key": value}, f"code={quote(value)}")
    for text in ("a", "a\0b", '\\\\\\""""'):
        assert without(text, [*secrets, ""]) == text


def test_the_spelling_of_the_rest_of_a_text_stays() -> None:
    body = r'{"a":"x\n\u00e9 %2F &amp; sk-key-12345 \"y\\ %25"}'
    assert without(body, ["sk-key-12345"]) == body.replace("sk-key-12345", "removed")
    assert without(body, ["another-key-1"]) is body


def test_thousands_of_cookies_cost_about_as_much_as_hundreds() -> None:
    def cost(cookies: int) -> float:
        headers = {"cookie": "; ".join(f"session{at}={at:016}a" for at in range(cookies))}
        query = "k=12345678&" * cookies
        began = time.process_time()
        shown = without(f"/v1?{query}", secrets_of(headers, query))
        assert f"{cookies - 1:016}" not in shown
        return time.process_time() - began

    few, many = min(cost(300) for _ in range(3)), min(cost(2400) for _ in range(3))
    assert many < few * 24  # eight times as many; it was 64 times as much


def test_a_request_with_too_many_secrets_has_no_text() -> None:
    headers = {"cookie": "; ".join(f"session{at}=sk-canary-{at}" for at in range(101))}
    secrets = secrets_of(headers)
    assert without("a sk-canary-7 b", secrets) == "removed"
    assert pieces_without([b"a sk-canary-", b"7 b"], secrets) == [b"removed", b""]
    assert pieces_without([], secrets) == []
    assert without("", secrets) == ""


def test_a_body_of_escapes_takes_time_in_proportion_to_its_length() -> None:
    def cost(body: bytes) -> float:
        began = time.process_time()
        pieces_without([body], ["sk-canary-1"])
        return time.process_time() - began

    for part in (b"%41", rb"\n", b"\\", b"\\ud83d", b"&#65;", b"&a", b"%25", b"\0a"):
        short, long = (min(cost(part * n) for _ in range(3)) for n in (3_000, 24_000))
        assert long < short * 30, part  # eight times as long


@pytest.mark.parametrize(
    "part", ["auth", "a-", "a=", '="', "//@", "a=%25", "code;", "x-ratelimit-tokens-", "bearer "]
)
def test_a_long_header_costs_about_as_much_as_its_parts(part: str) -> None:
    def cost(length: int) -> float:
        text = part * (length // len(part))
        is_secret.cache_clear()
        began = time.process_time()
        secrets_of({"authorization": text, "x-y": text, text: "1 b"}, text)
        return time.process_time() - began

    few, many = min(cost(2_000) for _ in range(3)), min(cost(16_000) for _ in range(2))
    assert many < few * 32 + 0.1  # eight times as long; it was 64 times as much


@pytest.mark.parametrize(
    "name",
    [
        *("Ocp-Apim-Subscription-Key", "Helicone-Auth", "X-Auth", "x-functions-key", "Signature"),
        *("authentication", "X-Authentication", "x-appkey", "AuthKey", "subscriptionkey", "X-Hmac"),
        *("x-passwd", "x-passphrase", "x-signature-ed25519"),
        *("x-amzn-oidc-data", "DPoP", "x-passcode"),
        *("x-pass", "X-Pwd", "x-otp", "x-auth-tokens", "X-RateLimit-Bypass-Token"),
        *("X-Hub-Signature-256", "X-Auth-Key", "cf-access-jwt-assertion", "X-Access-Key"),
    ],
)
def test_the_header_of_a_key_is_known(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("Idempotency-Key", "sec-websocket-key", "Surrogate-Key", "X-Cache-Key", "monkey"),
        *("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-input-tokens-limit"),
        *("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", "x-token-count"),
        *("x-ratelimit-remaining-tokens-minute", "x-ratelimit-limit-tokens-prompt"),
        *("anthropic-priority-input-tokens-reset", "x-token-usage", "x-num-tokens-cached"),
        *("access-control-allow-credentials", "x-prompt-tokens-total", "x-max-tokens"),
        *("authority", "x-author", "www-authenticate", "sig-nal", "key-size", "design"),
    ],
)
def test_the_header_of_something_else_is_shown(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("subscription-key", "access_key", "X-Amz-Signature", "X-Goog-Signature", "accessKey"),
        *("subscriptionKey", "app_key", "client_assertion", "jwt", "APPKEY", "auth_code", "passwd"),
        *("pass", "pwd", "pw", "sid", "session_id", "session", "otp", "bearer", "auth_tokens"),
    ],
)
def test_the_parameter_of_a_key_is_known(name: str) -> None:
    assert query_without_secrets(f"a=1&{name}=b&c=2") == f"a=1&{name}=removed&c=2"


@pytest.mark.parametrize(
    ("protocol", "key"),
    [
        ("realtime, openai-insecure-api-key.sk-canary-01, openai-beta", "sk-canary-01"),
        ("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2stY2FuYXJ5", "c2stY2FuYXJ5"),
    ],
)
def test_the_key_in_the_name_of_a_protocol_is_known(protocol: str, key: str) -> None:
    shown = without_secrets({"sec-websocket-protocol": protocol})
    assert shown == {"sec-websocket-protocol": protocol.replace(key, "removed")}
    assert secrets_of({"sec-websocket-protocol": protocol}) == [key]


@pytest.mark.parametrize("name", ["monkey", "sort_key", "cacheKey", "max_tokens", "encode", "q"])
def test_the_parameter_of_something_else_is_shown(name: str) -> None:
    assert query_without_secrets(f"{name}=b") == f"{name}=b"


@pytest.mark.parametrize(
    "address",
    ["http://host:80/x?a=%2F&b=c+d#e", "/v1/a@b?x=//y", "Mozilla/5.0 (a; b=c)", "*/*", "a;q=0.9"],
)
def test_a_text_without_a_key_is_shown_as_it_came(address: str) -> None:
    assert address_without_secrets(address) == address


@pytest.mark.parametrize("times", range(9))
def test_a_key_is_found_however_often_its_address_is_nested(times: int) -> None:
    query = f"key={KEY}"
    for _ in range(times):
        query = "next=" + quote(f"/x?{query}", safe="")
    assert "canary" not in query_without_secrets(query)
    assert without(f"You sent {KEY}.", secrets_of({}, query)) == "You sent removed."


@pytest.mark.parametrize(
    "cookies",
    [
        *("seen=1795920603", "model=llama-3-8b; role=assistant", "at=2026-11-29T12:30:00.000Z"),
        *("model=meta-llama/Llama-3.1-8B-Instruct", "_ga=GA1.2.1234567890.1795920603"),
        *("sidebar=collapsed", "author=knuth", "prefs=%7B%22localization%22%3A%22en%22%7D"),
        *("assistant", "1795920603", "empty=; a=b"),
    ],
)
def test_a_cookie_that_is_no_key_stays_in_a_body(cookies: str) -> None:
    body = " ".join(f"[{each.strip().partition('=')[2] or each}]" for each in cookies.split(";"))
    assert without(body, secrets_of({"cookie": cookies})) == body
    assert shown_value("cookie", cookies) == "removed"


@pytest.mark.parametrize(
    "name",
    [
        *("session", "connect.sid", "PHPSESSID", "__Secure-1PSID", "auth", "access_token", "_csrf"),
        *("XSRF-TOKEN", "remember_me", "api_key", "jwt"),
    ],
)
def test_the_cookie_of_a_secret_is_known_whatever_its_value(name: str) -> None:
    secrets = secrets_of({"cookie": f'a=b; {name}="wordonly"'})
    assert without("You sent wordonly.", secrets) == "You sent removed."


def test_a_cookie_that_looks_like_a_key_is_one_whatever_its_name() -> None:
    for value in (
        "sk-canary-9f8e7d6c",
        "8f14e45f-ceea-467f-ab5c-0123456789ab",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
    ):
        secrets = secrets_of({"cookie": f"a=b; theme={value}"})
        assert without(f"You sent {value}.", secrets) == "You sent removed."


@pytest.mark.parametrize("value", ["++++++++", "%20" * 8, "+%20" * 4, "++a++++++"])
def test_blanks_are_no_key(value: str) -> None:
    body = '{\n        "a": 1 }        ++++++++'
    assert without(body, secrets_of({}, f"code={value}")) == body


def test_two_slashes_in_a_text_of_a_query_begin_no_user() -> None:
    query = "q=see+//cdn+or+me@x.org"
    assert query_without_secrets(query) == query
    assert address_without_secrets(f"http://host/?{query}") == f"http://host/?{query}"
    assert query_without_secrets("n=http://u:a+b@host") == "n=http://removed@host"
    assert address_without_secrets("/x?http://u:a+b@host") == "/x?http://removed@host"


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("http://user:secretpw@host:8000/x?y", "http://host:8000/x"),
        ("user:secretpw@http://host:8000", "http://host:8000"),
        ("user:secretpw@host", "host"),
        ("user:s@secretpw://x@host", "host"),
        ("http:/u:secretpw@h/x", "h/x"),
        ("//u:secretpw@h", "h"),
        ("ftp://host#secretpw", "ftp://host"),
    ],
)
def test_an_address_in_an_error_has_no_password(address: str, place: str) -> None:
    assert place_of(address) == place
    with pytest.raises(ValueError, match="address") as raised:
        Address.parse(address)
    assert "secretpw" not in str(raised.value)


def test_addresses_nested_in_addresses_end() -> None:
    query = "a=?" * 20_000
    assert secrets_of({"referer": f"/?{query}"}, query) == []
    assert query_without_secrets(query) == query
