"""The response to a client when the model's server fails."""

import httpx
import httpx2
import openai
import pytest

from stream_deadline import StreamDeadlineExceeded
from stream_deadline._error_response import ErrorResponse, error_response_for, one_line
from stream_deadline._errors import AnswerCutShort

REQUEST = httpx2.Request("POST", "http://gpu:8000/v1/chat/completions")
KINDS = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
}


def answered(
    status: int, message: str = "Words of the server.", **headers: str
) -> openai.APIStatusError:
    response = httpx2.Response(status, headers=headers, request=REQUEST)
    kind = KINDS.get(status, openai.APIStatusError)
    return kind(
        f"Error code: {status}", response=response, body={"message": message, "code": status}
    )


def told(error: BaseException) -> ErrorResponse:
    failure = error_response_for(error)
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("status", "passed_on", "kind"),
    [
        (400, 400, "bad_request"),
        (401, 502, "model_refused"),
        (403, 502, "model_refused"),
        (404, 502, "model_not_found"),
        (413, 413, "bad_request"),
        (422, 422, "bad_request"),
        (429, 503, "model_busy"),
        (500, 502, "model_failed"),
        (503, 503, "model_busy"),
    ],
)
def test_the_status_shows_which_side_is_at_fault(status: int, passed_on: int, kind: str) -> None:
    failure = told(answered(status))
    assert (failure.status, failure.kind) == (passed_on, kind)
    assert failure.cause is not None
    assert str(status) in failure.cause


def test_the_error_of_a_bad_request_is_passed_on_in_one_line_of_bounded_length() -> None:
    failure = told(answered(400, "The prompt\n is too long. " + 1000 * "x"))
    assert "The prompt is too long." in failure.text
    assert len(failure.text) < 400


@pytest.mark.parametrize("status", [401, 403])
def test_messages_about_keys_are_never_passed_on(status: int) -> None:
    failure = told(answered(status, "Incorrect API key provided: s3cret."))
    assert "s3cret" not in f"{failure.text}{failure.cause}"


PAIR = "dXNlcjpwYXNzd29yZC1vZi1pdA=="  # user:password-of-it
REPEATED = {
    "the key": ("Authorization", "Bearer sk-12345678", "no sk-12345678"),
    "the whole header": ("Authorization", "Bearer sk-12345678", "got 'Bearer sk-12345678'"),
    "a header of its own": ("X-Gateway-Token", "t0ken/with+more", "t0ken/with+more is wrong"),
    "as in an address": ("api-key", "t0ken/with+more", "?key=t0ken%2Fwith%2Bmore"),
    "as in base64": ("api-key", "sk-12345678", "c2stMTIzNDU2Nzg="),
    "as in JSON": ("api-key", 'sk-"12345678', r'{"key": "sk-\"12345678"}'),
    "a password": ("Authorization", f"Basic {PAIR}", "password-of-it is wrong"),
    "a cookie": ("Cookie", 'a=b; session="0123456789"', "session 0123456789 is over"),
}


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500])
@pytest.mark.parametrize("case", REPEATED)
def test_a_message_that_repeats_a_secret_of_the_request_is_neither_passed_on_nor_logged(
    case: str, status: int
) -> None:
    name, value, said = REPEATED[case]
    error = answered(status, f"Refused: {said}.")
    error.request.headers[name] = value
    try:
        failure = told(error)
    finally:
        del error.request.headers[name]
    assert said not in f"{failure.text}{failure.cause}"
    assert "repeats a secret" in str(failure.cause)
    assert "repeats a secret" in str(told_beneath(value, said, name).cause)


def told_beneath(value: str, said: str, name: str) -> ErrorResponse:
    """The response for an error in the middle of a stream."""
    request = httpx2.Request("POST", "http://gpu:8000/v1", headers={name: value})
    return told(openai.APIError(f"Refused: {said}", request, body=None))


@pytest.mark.parametrize("value", ["Bearer none", "Basic ???", "Bearer", ""])
def test_a_message_that_repeats_no_secret_is_passed_on(value: str) -> None:
    error = answered(400, "There is none, or Basic.")
    error.request.headers["authorization"] = value
    try:
        assert "There is none, or Basic." in told(error).text
    finally:
        del error.request.headers["authorization"]


def test_retry_after_is_passed_on() -> None:
    assert told(answered(503, **{"retry-after": "7"})).retry_after == "7"
    assert told(answered(429)).retry_after is None


def test_connection_errors_are_a_502_or_a_504() -> None:
    assert told(openai.APIConnectionError(request=REQUEST)).status == 502
    assert told(openai.APITimeoutError(request=REQUEST)).status == 504
    for library in (httpx, httpx2):
        broken = told(library.RemoteProtocolError("peer closed connection"))
        assert (broken.status, broken.kind) == (502, "model_failed")
        assert "peer closed" in str(broken.cause)


def test_an_error_in_the_middle_of_a_stream_is_the_model_servers() -> None:
    assert told(openai.APIError("EngineCore died", REQUEST, body=None)).kind == "model_failed"


@pytest.mark.parametrize("group", [False, True])
def test_an_incomplete_answer_that_ends_properly_is_a_failure_of_the_model(group: bool) -> None:
    half = AnswerCutShort(1.5, 7, "what had come")
    failure = told(ExceptionGroup("tasks", [half]) if group else half)
    assert (failure.status, failure.kind) == (502, "model_failed")
    assert "finish reason" in failure.text
    assert "AnswerCutShort" in str(failure.cause)
    assert "what had come" not in f"{failure.text}{failure.cause}"
    assert error_response_for(ConnectionError("another")) is None


def test_a_quote_is_one_line_of_printable_characters() -> None:
    assert one_line("grüße,  日本\n語 \t!", 100) == "grüße, 日本 語 !"
    assert one_line("a\x1b[2Kb\x00\u202ec\ud800", 100) == r"a\x1b[2Kb\x00\u202ec\ud800"
    assert one_line("x\u2028y\x85z", 100) == "x y z"
    assert one_line("x" * 10**6, 10) == "x" * 9 + "…"
    assert one_line("\x00" * 10**6, 10) == r"\x00\x00\…"[:9] + "…"


@pytest.mark.parametrize("said", ["7\r\nx: y", "7\n", "soon", "-1", "9" * 10, "1.5", ""])
def test_retry_after_is_a_number_or_a_date_or_nothing(said: str) -> None:
    error = answered(503)
    error.response.headers["retry-after"] = said
    assert told(error).retry_after is None


def test_retry_after_may_be_a_date() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert told(answered(503, **{"retry-after": date})).retry_after == date


def test_the_deadline_counts_in_a_group_of_errors() -> None:
    late = StreamDeadlineExceeded("timeout", 0.5, 0.5)
    group = ExceptionGroup("tasks", [KeyError("x"), ExceptionGroup("tasks", [answered(500), late])])
    assert told(group) == ErrorResponse(504, "deadline_exceeded", str(late))


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), TimeoutError(), ExceptionGroup("tasks", [ValueError()]), httpx.InvalidURL("x")],
)
def test_other_errors_have_no_response(error: BaseException) -> None:
    assert error_response_for(error) is None


@pytest.mark.parametrize(
    ("error", "status", "kind", "cause"),
    [
        (openai.APITimeoutError(request=REQUEST), 504, "model_timeout", "APITimeoutError: "),
        (
            openai.APIConnectionError(message="refused", request=REQUEST),
            502, "model_unreachable", "APIConnectionError: refused",
        ),
        (openai.APIError("died", REQUEST, body=None), 502, "model_failed", "APIError: died"),
        (openai.APIError("died", REQUEST, body={"a": 1}), 502, "model_failed", "APIError: died"),
        (
            openai.APIError("died", REQUEST, body={"message": "out of memory"}),
            502, "model_failed", "APIError: out of memory",
        ),
        (
            openai.APIError("died", REQUEST, body={"message": ""}),
            502, "model_failed", "APIError: died",
        ),
        (httpx2.ReadError("broken"), 502, "model_failed", "ReadError: broken"),
        (httpx.ReadError("broken"), 502, "model_failed", "ReadError: broken"),
        (AnswerCutShort(1.5, 7), 502, "model_failed", "AnswerCutShort: The stream ended"),
        (answered(401), 502, "model_refused", "the model's server answered 401"),
        (answered(404), 502, "model_not_found", "the model's server answered 404: Words of"),
        (answered(400), 400, "bad_request", "the model's server answered 400: Words of"),
        (answered(413), 413, "bad_request", "the model's server answered 413: Words of"),
        (answered(503), 503, "model_busy", "the model's server answered 503: Words of"),
        (answered(500), 502, "model_failed", "the model's server answered 500: Words of"),
    ],
)  # fmt: skip
def test_each_failure_has_a_word_for_programs_and_a_cause_for_the_log(
    error: Exception, status: int, kind: str, cause: str
) -> None:
    failure = told(error)
    assert (failure.status, failure.kind, failure.retry_after) == (status, kind, None)
    assert str(failure.cause).startswith(cause)
    assert "Words of" not in failure.text or status in (400, 413)


def test_a_passed_deadline_has_no_more_cause_than_its_text() -> None:
    late = StreamDeadlineExceeded("idle_timeout", 2, 5)
    assert told(late) == ErrorResponse(504, "deadline_exceeded", str(late), None, None)


@pytest.mark.parametrize("length", [299, 300, 301, 5000])
def test_a_quote_of_the_models_server_has_300_characters_at_most(length: int) -> None:
    failure = told(answered(400, "x" * length))
    quote = "x" * length if length <= 300 else "x" * 299 + "…"
    assert failure.text == f"The model's server refused the request: {quote}"


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([answered(429), answered(400)], 503),
        ([answered(400), answered(429)], 400),
        ([ValueError("x"), answered(400)], 400),
        ([answered(400), openai.APITimeoutError(request=REQUEST)], 504),
    ],
)
def test_the_first_of_several_errors_counts_unless_one_is_a_time_out(
    errors: list[Exception], status: int
) -> None:
    assert told(ExceptionGroup("tasks", errors)).status == status


@pytest.mark.parametrize(
    ("name", "module", "is_transport"),
    [
        ("TransportError", "httpx", True),
        ("TransportError", "httpx2._exceptions", True),
        ("TransportError", "another.httpx", False),
        ("TransportError", "another", False),
        ("DecodingError", "httpx._exceptions", False),
    ],
)
def test_only_a_broken_connection_of_httpx_is_the_model_servers(
    name: str, module: str, is_transport: bool
) -> None:
    base = type(name, (Exception,), {"__module__": module})
    error = type("ReadError", (base,), {"__module__": "ours"})("broken")
    assert (error_response_for(error) is not None) is is_transport


def test_a_quote_is_cut_where_it_would_be_longer_and_not_before() -> None:
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
    assert one_line(" " * 39 + "ab", 10) == "a"  # no more than four times as much is looked at
    assert one_line(ValueError("a  b"), 10) == "a b"
