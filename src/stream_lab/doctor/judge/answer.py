"""Answers that are not streams: no connection, an error, a page, a single body."""

from stream_lab.doctor import error_pages
from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.events import quote
from stream_lab.doctor.facts import JSON_LINES, Facts
from stream_lab.http.capture import End
from stream_lab.untrusted import read_json

LARGEST = 100_000  # bytes of a body that may be an error; more is an answer
ANSWERS = ("choices", "content", "output", "candidates", "response", "answer", "text")
"""Keys of an answer, which may hold an error of a part beside it."""
STREAMS = ("text/event-stream", "text/plain", *JSON_LINES)


def unanswered(facts: Facts) -> Diagnosis | None:
    """Return why the answer is not a stream. None: it is one."""
    heard, target = facts.transcript, facts.transcript.target
    if heard.ending is End.NO_CONNECTION:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.99,
            [f"No connection to {target.authority}: {heard.error}."],
            "Start the server, or correct the address.",
        )
    if heard.ending is End.NO_TLS:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.99,
            [f"{target.authority} was reached, but TLS failed: {heard.error}."],
            "Name the authority that signed it in SSL_CERT_FILE, accept any certificate with "
            "--insecure, or write http:// if the server does not use TLS.",
        )
    if heard.ending is End.BROKEN and not heard.status:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.9,
            [f"The answer from {target.authority} is not HTTP: {heard.error}."],
            "Use the port of a web server.",
        )
    if heard.status and heard.status != (101 if target.socket else 200):
        return _error(facts)
    if heard.ending is End.WHOLE and _says_error(heard.body):
        evidence = [f"Status {heard.status}, but the whole answer is an error.", *_quoted(facts)]
        advice = "Read the server's log; such an answer should have a status of 400 or more."
        return Diagnosis(Cause.HTTP_ERROR, 0.95, evidence, advice)
    if heard.status and not facts.is_events:
        return _no_stream(facts)
    return None


def _error(facts: Facts) -> Diagnosis:
    heard = facts.transcript
    location = heard.headers.get("location")
    where = f" It redirects to {quote(location)}." if location else ""
    evidence, advice = [f"Status {heard.status}.{where}", *_quoted(facts)], _advice(heard.status)
    page = error_pages.writer_of(heard.status, heard.headers, heard.body)
    if page is not None:
        more, limit = error_pages.sentences(page, heard.status, heard.ended)
        evidence, advice = [*evidence, *more], f"{advice} {limit}".strip()
    elif heard.target.socket and heard.status in (200, 400, 404, 405, 426):
        advice = "Use the address of a WebSocket; a proxy in front of it must pass on Upgrade."
    return Diagnosis(Cause.HTTP_ERROR, 0.99, evidence, advice)


def _no_stream(facts: Facts) -> Diagnosis | None:
    heard = facts.transcript
    kind, shown = heard.content_type, quote(heard.media_type) or "no content type"
    body = heard.body.lstrip()
    if kind == "text/html" or body[:9].lower().startswith((b"<!doctype", b"<html")):
        evidence = [f"The answer is {shown}, a web page.", *_quoted(facts)]
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            evidence,
            "Use the address of the API; a log-in page or a gateway may be in front of it.",
        )
    if kind == "application/json" or (
        body[:1] in (b"{", b"[") and "content-length" in heard.headers
    ):
        evidence = [f"One body of {shown} after {heard.ended:.1f} s, {len(heard.body):,} bytes."]
        advice = (
            "Return a StreamingResponse over chain.astream(…), "
            "or sse-starlette's EventSourceResponse."
        )
        return Diagnosis(Cause.NOT_STREAMING, 0.95, evidence, advice)
    if kind not in STREAMS and not _is_text(body):
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            [f"The answer is {shown}, and binary."],
            "Use the address of the stream.",
        )
    if heard.target.chat:
        return Diagnosis(
            Cause.NOT_SSE,
            0.9,
            [
                f"The request was for a stream of events, but the answer is {shown}.",
                *_quoted(facts),
            ],
            "Use the address of a model's server.",
        )
    if "content-length" in heard.headers and len(facts.clusters) <= 1 and heard.ending is End.WHOLE:
        evidence = [f"One body of {shown} with its length, after {heard.ended:.1f} s."]
        return Diagnosis(
            Cause.NOT_STREAMING, 0.9, evidence, "Return a StreamingResponse, which has no length."
        )
    return None


def _says_error(body: bytes) -> bool:
    """Tell whether a whole body is one JSON object that reports an error."""
    if body.lstrip()[:1] not in (b"{", b"[") or len(body) > LARGEST:
        return False
    try:
        found = read_json(body)
    except ValueError:
        return False
    if isinstance(found, list):  # as Gemini answers
        found = found[0] if len(found) == 1 else None
    if not isinstance(found, dict) or any(found.get(key) for key in ANSWERS):
        return False
    return (
        any(found.get(key) for key in ("error", "errors", "errorMessage"))
        or any(found.get(key) == "error" for key in ("object", "type", "status"))
        or any(found.get(key) is False for key in ("success", "ok"))
    )


def _advice(status: int) -> str:
    redirect = "Use the address that it redirects to."
    known = {
        301: redirect,
        302: redirect,
        307: redirect,
        308: redirect,
        401: "Set OPENAI_API_KEY in the environment, which goes only to addresses that end in /v1; "
        "or give the key with --header.",
        403: "The key is valid but has no permission for this; ask its issuer.",
        404: "Correct the address, or the model's name: --model.",
        405: "The server expects another method: --method, or --post '{…}', which sends JSON.",
        408: "The server or a proxy waited for the request and gave up.",
        422: "The server expects another body: --post '{…}'.",
        426: "The server expects a WebSocket here: write the address with ws:// or wss://.",
        429: "Wait as long as Retry-After says.",
        502: "The proxy cannot reach its server; ask it directly with --direct.",
        503: "The server is starting, full or stopped; read its log.",
        504: "A proxy gave up before the first byte; its limit is shorter than the wait.",
        520: "Read the log of the server behind Cloudflare.",
        521: "Start the server behind Cloudflare, and let Cloudflare's addresses reach it.",
        522: "Let Cloudflare's addresses reach the server, and look at its load.",
        523: "Correct the server's address at Cloudflare.",
        524: "Cloudflare gave up before the first byte; its limit is shorter than the wait.",
    }
    return known.get(status, "Read the server's log.")


def _quoted(facts: Facts) -> list[str]:
    text = facts.transcript.body[:400].decode(errors="replace").strip()
    return [f"The answer says: {quote(text)}"] if text else []


def _is_text(body: bytes) -> bool:
    start = body[:1000]
    return (
        b"\0" not in start
        and sum(byte < 9 for byte in start) == 0
        and start.decode(errors="replace").count("\ufffd") < 4
    )
