"""Answers that are not streams: no connection, an error, a page, a single body."""

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.events import quote
from stream_lab.doctor.facts import Facts
from stream_lab.http.capture import End

STREAMS = (
    "text/event-stream",
    "text/plain",
    "application/x-ndjson",
    "application/jsonl",
    "application/stream+json",
)


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
            "Correct the certificate, or write http:// if the server does not use TLS.",
        )
    if heard.ending is End.BROKEN and not heard.status:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.9,
            [f"The answer from {target.authority} is not HTTP: {heard.error}."],
            "Use the port of a web server.",
        )
    if heard.status and heard.status != 200:
        where = (
            f" It redirects to {heard.headers['location'][:200]}."
            if "location" in heard.headers
            else ""
        )
        return Diagnosis(
            Cause.HTTP_ERROR,
            0.99,
            [f"Status {heard.status}.{where}", *_quoted(facts)],
            _advice(heard.status),
        )
    if heard.status and not facts.is_events:
        return _no_stream(facts)
    return None


def _no_stream(facts: Facts) -> Diagnosis | None:
    heard = facts.transcript
    kind = heard.content_type or "no content type"
    body = heard.body.lstrip()
    if kind == "text/html" or body[:9].lower().startswith((b"<!doctype", b"<html")):
        evidence = [f"The answer is {kind}, a web page.", *_quoted(facts)]
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            evidence,
            "Use the address of the API; a log-in page or a gateway may be in front of it.",
        )
    if kind == "application/json" or (
        body[:1] in (b"{", b"[") and "content-length" in heard.headers
    ):
        evidence = [f"One body of {kind} after {heard.ended:.1f} s, {len(heard.body):,} bytes."]
        advice = (
            "Return a StreamingResponse over chain.astream(…), "
            "or sse-starlette's EventSourceResponse."
        )
        return Diagnosis(Cause.NOT_STREAMING, 0.95, evidence, advice)
    if kind not in STREAMS and not _is_text(body):
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            [f"The answer is {kind}, and binary."],
            "Use the address of the stream.",
        )
    if heard.target.chat:
        return Diagnosis(
            Cause.NOT_SSE,
            0.9,
            [f"The request was for a stream of events, but the answer is {kind}.", *_quoted(facts)],
            "Use the address of a model's server.",
        )
    if "content-length" in heard.headers and len(facts.clusters) <= 1 and heard.ending is End.WHOLE:
        evidence = [f"One body of {kind} with its length, after {heard.ended:.1f} s."]
        return Diagnosis(
            Cause.NOT_STREAMING, 0.9, evidence, "Return a StreamingResponse, which has no length."
        )
    return None


def _advice(status: int) -> str:
    redirect = "Use the address that it redirects to."
    known = {
        301: redirect,
        302: redirect,
        307: redirect,
        308: redirect,
        401: "Set OPENAI_API_KEY in the environment; it goes only to addresses that end in /v1.",
        403: "The key is valid but has no permission for this; ask its issuer.",
        404: "Correct the address, or the model's name: --model.",
        405: "The server expects another method: --post '{…}' sends JSON.",
        422: "The server expects another body: --post '{…}'.",
        429: "Wait as long as Retry-After says.",
        502: "The proxy cannot reach its server; ask it directly with --direct.",
        503: "The server is starting, full or stopped; read its log.",
        504: "A proxy gave up before the first byte; its limit is shorter than the wait.",
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
