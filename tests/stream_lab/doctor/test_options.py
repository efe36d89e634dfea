"""What is sent, and what is never shown: headers, cookies, bodies, secrets."""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from stream_lab.doctor import Cause, Diagnosis, Target, TargetError
from stream_lab.doctor.options import body_of, headers_of, method_of
from stream_lab.doctor.probe import request_headers
from stream_lab.doctor.secrets import hide, secrets_of
from stream_lab.redact import HIDDEN, without

KEY = "topsecret-value-1234567890"


def basic(pair: str, encoding: str = "utf-8") -> str:
    """The value of a header for a user and a password."""
    return f"Basic {base64.b64encode(pair.encode(encoding)).decode()}"


def test_headers_and_cookies_become_headers() -> None:
    assert headers_of(["X-Team:  blue ", "Accept: text/event-stream"], ["a=1; b=2 ;", "c=3"]) == (
        ("x-team", "blue"),
        ("accept", "text/event-stream"),
        ("cookie", "a=1; b=2; c=3"),
    )


@pytest.mark.parametrize(
    ("headers", "cookies"),
    [
        ([KEY], []),
        ([f": {KEY}"], []),
        ([f"a b: {KEY}"], []),
        ([f"X-Key: {KEY}\r\nX-Other: 1"], []),
        ([f"X-Key: {KEY}☃"], []),
        ([f"Content-Length: {KEY}"], []),
        ([], [KEY]),
        ([], [f"a={KEY}\n"]),
    ],
)
def test_an_error_names_the_option_and_not_its_value(
    headers: list[str], cookies: list[str]
) -> None:
    with pytest.raises(TargetError) as error:
        headers_of(headers, cookies)
    assert KEY not in str(error.value)


def test_a_header_replaces_the_doctor_s_own() -> None:
    target = Target.of("http://host/x", headers=headers_of(["User-Agent: mine", "Host: other"], []))
    sent = request_headers(target, "*/*")
    assert [value for name, value in sent if name == "user-agent"] == ["mine"]
    assert [value for name, value in sent if name == "host"] == ["other"]


def test_a_body_is_a_text_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(b'{"q": "\xc3\xbc"}')
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b'{"a": 1}')))
    assert body_of(None) is None
    assert body_of('{"b": 2}') == b'{"b": 2}'
    assert body_of(f"@{file}") == file.read_bytes()
    assert body_of("-") == b'{"a": 1}'
    with pytest.raises(TargetError, match="nothing came"):
        body_of("-")


@pytest.mark.parametrize(
    ("method", "post", "sent"),
    [
        (None, None, "GET"),
        (None, "{}", "POST"),
        ("put", "{}", "PUT"),
        ("POST", None, "POST"),
        ("GET", "{}", "GET"),
    ],
)
def test_the_method_follows_the_body_unless_it_is_given(
    method: str | None, post: str | None, sent: str
) -> None:
    assert Target.of("http://host/x", post=post, method=method_of(method)).method == sent


def test_a_body_with_a_content_type_of_its_own_need_not_be_json() -> None:
    headers = headers_of(["Content-Type: application/x-www-form-urlencoded"], [])
    assert Target.of("http://host/x", post="a=1", headers=headers).body == b"a=1"
    with pytest.raises(TargetError, match="not JSON"):
        Target.of("http://host/x", post="a=1")


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("http://host/x", {"method": "DELETE"}, "must be one of"),
        ("http://host/v1", {"method": "GET"}, "by POST"),
        ("http://host/v1", {"post": "{}"}, "leave out the JSON"),
        ("ws://host/x", {"method": "POST"}, "begins with a GET"),
    ],
)
def test_a_request_that_does_not_fit_its_address_is_one_sentence(
    url: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(TargetError, match=says):
        Target.of(url, post=options.get("post"), model="m", method=method_of(options.get("method")))


def test_a_given_key_replaces_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")
    given = Target.of("http://host/v1", model="m", headers=(("authorization", f"Bearer {KEY}"),))
    assert [value for name, value in given.headers if name == "authorization"] == [f"Bearer {KEY}"]
    assert "from-the-environment" not in repr(Target.of("http://host/v1", model="m"))


def test_white_space_around_the_key_of_the_environment_is_not_part_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert ("authorization", f"Bearer {KEY}") in Target.of("http://host/v1", model="m").headers


BASIC = base64.b64encode(f"user:{KEY}".encode()).decode()


@pytest.mark.parametrize(
    "echoed",
    [
        KEY,
        f"Bearer {KEY}",
        json.dumps({"authorization": f"Bearer {KEY}"}),
        f"…{KEY[:12]}…",  # a quotation that was cut inside it
        f"The answer says: {KEY[:9]}",
        BASIC,
        "cookie: session=cookie-secret; theme=dark",
        "cookie%2Fsecret",
        'quo\\"ted-secret',
    ],
)
def test_a_secret_is_hidden_in_whatever_form_it_comes_back(echoed: str) -> None:
    headers = (
        ("authorization", f"Bearer {KEY}"),
        ("x-basic", f"Basic {BASIC}"),
        ("cookie", "session=cookie-secret; theme=dark; path=cookie/secret"),
        ("x-quoted", 'quo"ted-secret'),
        ("accept", "text/event-stream"),
    )
    secrets = secrets_of([Target.of("http://host/x", headers=headers)])
    found = hide(Diagnosis(Cause.HTTP_ERROR, 0.9, [echoed], echoed, echoed), secrets)
    text = json.dumps(found.as_dict(), ensure_ascii=False)
    assert HIDDEN in text
    for part in (KEY[:9], BASIC[:9], "cookie-secret", "cookie%2F", "quo"):
        assert part not in text


def test_a_secret_of_an_address_is_hidden_as_it_was_written_and_as_it_is_sent() -> None:
    secrets = secrets_of([Target.of("http://host/x?token=geheimß1")])
    for text in ("geheimß1", "geheim%C3%9F1", "geheim%c3%9f1"):
        assert without(f"It is {text}!", secrets) == f"It is {HIDDEN}!"


ECHOED = {
    "a user of Basic without a password": ("authorization", basic("sk-canary01:"), "sk-canary01"),
    "a user whose password is short": ("authorization", basic("sk-canary01:x"), "sk-canary01"),
    "Basic without padding": ("authorization", basic("me:pass-word").rstrip("="), "pass-word"),
    "Basic after two blanks": (
        "authorization",
        basic("me:pass-word").replace(" ", "  "),
        "pass-word",
    ),
    "Basic in Latin-1": ("authorization", basic("me:geheimß1", "latin-1"), "geheimß1"),
    "a cookie, decoded": ("cookie", "token=canary%2Bab%2Fcd%3D%3D", "canary+ab/cd=="),
    "a key in a protocol's name": (
        "sec-websocket-protocol",
        "realtime, openai-insecure-api-key.sk-canary",
        "sk-canary",
    ),
    "a password in a plain header": ("referer", "http://me:pass-word@host/", "pass-word"),
    "a token in a plain header": ("referer", "http://host/?token=canary01", "canary01"),
}


@pytest.mark.parametrize(("name", "value", "echoed"), ECHOED.values(), ids=ECHOED)
def test_a_secret_inside_a_header_is_hidden(name: str, value: str, echoed: str) -> None:
    secrets = secrets_of([Target.of("http://host/x", headers=((name, value),))])
    assert without(f"It is {echoed}!", secrets) == f"It is {HIDDEN}!"


@pytest.mark.parametrize(
    "query",
    [
        *("pwd=canary01", "x=1;token=canary01", "code=canary01", "jwt=canary01", "sid=canary01"),
        *("licensekey=canary01", "key1=canary01", "auth_user=canary01"),
    ],
)
def test_a_parameter_of_an_address_is_hidden_by_its_name(query: str) -> None:
    secrets = secrets_of([Target.of(f"http://host/x?{query}")])
    assert without("It is canary01!", secrets) == f"It is {HIDDEN}!"


def test_a_short_value_of_a_header_or_parameter_that_may_be_secret_is_hidden() -> None:
    target = Target.of("http://host/x?pwd=s3cret", headers=(("x-pin", "hunter2"),))
    assert without("It is hunter2, s3cret.", secrets_of([target])) == f"It is {HIDDEN}, {HIDDEN}."


def test_a_short_value_of_another_parameter_stays() -> None:
    secrets = secrets_of([Target.of("http://host/x?session=text&code=chat")])
    assert without("It is a text of a chat.", secrets) == "It is a text of a chat."


def test_an_address_in_a_header_hides_no_other_address() -> None:
    headers = (("x-callback", "https://app.example/stream"),)
    secrets = secrets_of([Target.of("http://host/x", headers=headers)])
    assert without("It is http://app.example/stream.", secrets) == (
        "It is http://app.example/stream."
    )


def test_words_that_occur_in_any_sentence_stay() -> None:
    headers = (("x-accel", "server"), ("authorization", "bearer sk-canary"))
    secrets = secrets_of([Target.of("http://host/x", headers=headers)])
    assert without("The server wants a bearer token.", secrets) == (
        "The server wants a bearer token."
    )


def test_headers_that_are_not_secret_stay_readable() -> None:
    target = Target.of("http://host/x", headers=(("accept", "text/event-stream"), ("x-n", "1")))
    found = hide(
        Diagnosis(Cause.NOT_SSE, 0.9, ["It is text/event-stream, 1."], "x"), secrets_of([target])
    )
    assert found.evidence == ["It is text/event-stream, 1."]
