"""From what was heard to a cause. One stream, or a stream and its repetitions, at one layer.

The bands are wide, and the order of the questions is part of the answer: what is sure is asked first.
"""

from statistics import mean
from typing import Literal

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.events import Says, quote
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.limits import matching
from stream_lab.http.capture import End

SLOW = 2.0  # seconds to the first token that are told as slow, if they are also ten times the pace
HEAP = 4  # tokens that come together, again and again
FEW = 8  # tokens; with fewer, nothing can be said of how they come
WAIT = 0.1  # seconds between heaps that a person sees
SHORTEST_LIMIT = 0.8  # seconds; no product sets a limit below that
STREAMS = (
    "text/event-stream",
    "text/plain",
    "application/x-ndjson",
    "application/jsonl",
    "application/stream+json",
)


def unanswered(facts: Facts) -> Diagnosis | None:
    """It never became a stream; None: it did."""
    heard, target = facts.transcript, facts.transcript.target
    if heard.ending is End.NO_CONNECTION:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.99,
            [f"No connection to {target.authority}: {heard.error}."],
            "Start the server, or mend the address.",
        )
    if heard.ending is End.NO_TLS:
        return Diagnosis(
            Cause.UNREACHABLE, 0.99, [f"{target.authority} was reached, but TLS failed: {heard.error}."],
            "Mend the certificate, or write http:// if the server speaks no TLS.",
        )  # fmt: skip
    if heard.ending is End.BROKEN and not heard.status:
        return Diagnosis(
            Cause.UNREACHABLE,
            0.9,
            [f"What answers at {target.authority} is no HTTP: {heard.error}."],
            "Ask the port of a web server.",
        )
    if heard.status and heard.status != 200:
        where = (
            f" It leads to {heard.headers['location'][:200]}."
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
        evidence = [f"The answer is {kind}, a page for people.", *_quoted(facts)]
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            evidence,
            "Ask the address of the API; a log-in page or a gateway may stand before it.",
        )
    if kind == "application/json" or (
        body[:1] in (b"{", b"[") and "content-length" in heard.headers
    ):
        evidence = [f"One body of {kind} after {heard.ended:.1f} s, {len(heard.body):,} bytes."]
        return Diagnosis(
            Cause.NOT_STREAMING,
            0.95,
            evidence,
            "Return a StreamingResponse over chain.astream(…), or sse-starlette's EventSourceResponse.",
        )
    if kind not in STREAMS and not _is_text(body):
        return Diagnosis(
            Cause.NOT_SSE,
            0.95,
            [f"The answer is {kind}, and binary."],
            "Ask the address of the stream.",
        )
    if heard.target.chat:
        return Diagnosis(
            Cause.NOT_SSE,
            0.9,
            [f"A model was asked for events; {kind} came.", *_quoted(facts)],
            "Ask a model's server.",
        )
    if "content-length" in heard.headers and len(facts.clusters) <= 1 and heard.ending is End.WHOLE:
        evidence = [f"One body of {kind} with its length, after {heard.ended:.1f} s."]
        return Diagnosis(
            Cause.NOT_STREAMING, 0.9, evidence, "Return a StreamingResponse, which has no length."
        )
    return None


def once(facts: Facts) -> Diagnosis | None:
    """Return the cause, if one stream is enough; None: it was cut, and must be repeated."""
    heard = facts.transcript
    if (early := unanswered(facts)) is not None:
        return early
    if facts.error:
        evidence = [f"After {len(facts.tokens)} tokens the stream says: {facts.error}"]
        return Diagnosis(
            Cause.SERVER_ENDED,
            0.95,
            evidence,
            "Read the log of the server that says so; the error is its own.",
        )
    if facts.faults:
        advice = "Look at the server or proxy that writes these bytes; ask it directly to see whose they are."
        return Diagnosis(
            Cause.BAD_FRAMING, 0.9, [_sentence(text) for text in facts.faults[:3]], advice
        )
    if facts.finish_reason == "abort":
        evidence = [
            f"The model's server says finish_reason 'abort' after {len(facts.tokens)} tokens."
        ]
        return Diagnosis(
            Cause.SERVER_ENDED,
            0.9,
            evidence,
            "Its engine gave up, or it is being stopped; read its log.",
        )
    if heard.ending is End.WATCHED:
        return _still_open(facts)
    if heard.ending is End.WHOLE:
        return _whole(facts)
    return None


def _still_open(facts: Facts) -> Diagnosis:
    heard = facts.transcript
    watched = f"It was still open after {heard.ended:.0f} s"
    bound = (
        "Bound the whole: ChatVllm(timeout=…) at the client, DeadlineMiddleware in the application."
    )
    if facts.done:
        evidence = [
            f"The end of the stream was said at {facts.at(Says.DONE)[0]:.1f} s, but the body was never ended."
        ]
        return Diagnosis(
            Cause.BAD_FRAMING,
            0.8,
            evidence,
            "Mend the server or proxy: clients that read to the end will hang.",
        )
    recent = max(1.5, 6 * facts.gap)
    empty = [*facts.at(Says.COMMENT), *facts.at(Says.NOTHING)]
    if facts.without_tokens > recent and [
        at for at in empty if at > heard.ended - facts.without_tokens + 0.001
    ]:
        what = "comments" if facts.at(Says.COMMENT) else "empty deltas"
        since = (
            f"for the last {facts.without_tokens:.1f} s" if facts.tokens else "from the beginning"
        )
        evidence = [
            f"{watched}; only {what} came {since}, {len(empty)} of them.",
            f"{len(facts.tokens)} tokens came before.",
        ]
        advice = "Bound the silence by tokens and not by bytes: ChatVllm(idle_timeout=…); then look at the model's server."
        return Diagnosis(
            Cause.KEEPALIVE_ONLY, 0.9, evidence, advice, "a token that comes after a longer watch"
        )
    if facts.without_tokens > recent:
        said = (
            f"nothing came for the last {facts.silence:.1f} s"
            if heard.pieces
            else "nothing came at all"
        )
        evidence = [f"{watched}; {said}, after {len(facts.tokens)} tokens."]
        return Diagnosis(
            Cause.NEVER_ENDS, 0.7, evidence, bound, "a longer --watch in which it ends"
        )
    evidence = [
        f"{watched}, and tokens still came: {len(facts.tokens)}, one each {facts.gap * 1000:.0f} ms."
    ]
    return Diagnosis(
        Cause.NEVER_ENDS, 0.9, evidence, bound, "a longer --watch in which it ends by itself"
    )


def _whole(facts: Facts) -> Diagnosis:
    heard, tokens = facts.transcript, facts.tokens
    asks_for_done = heard.target.chat or any(event.answer for event in facts.events)
    names = {event.name for event in facts.events}
    if facts.is_events and not tokens:
        empty = len(facts.at(Says.COMMENT, Says.NOTHING))
        cause = Cause.KEEPALIVE_ONLY if empty > 2 else Cause.SERVER_ENDED
        return Diagnosis(
            cause,
            0.7,
            [f"The stream ended after {heard.ended:.1f} s without a token."],
            "Read the server's log.",
        )
    if asks_for_done and not facts.done:
        evidence = [f"{len(tokens)} tokens came and the body ended in order, but without [DONE]."]
        if facts.finish_reason:
            evidence.append(f"The model had finished ('{facts.finish_reason}').")
            return Diagnosis(
                Cause.MISSING_DONE,
                0.95,
                evidence,
                "Mend the server or the proxy that drops the last event.",
            )
        evidence.append(
            "Nor did the model say that it had finished: this may be a half that looks whole."
        )
        advice = "Read the server's log of that time; Starlette's BaseHTTPMiddleware makes a failed stream look whole."
        return Diagnosis(Cause.SERVER_ENDED, 0.8, evidence, advice)
    if "token" in names and not facts.done:
        evidence = [f"{len(tokens)} events 'token' came, and none that says the end."]
        return Diagnosis(
            Cause.MISSING_DONE,
            0.6,
            evidence,
            "Send a last event, as sse-starlette's {'event': 'done'}.",
        )
    if (heaps := _in_heaps(facts)) is not None:
        return heaps
    if tokens and tokens[0] > max(SLOW, 10 * facts.gap):
        evidence = [
            f"The first token came after {tokens[0]:.1f} s, the others each {facts.gap * 1000:.0f} ms."
        ]
        advice = "Look at the queue (vllm:num_requests_waiting) and at the length of the prompt; first_chunk_timeout bounds it."
        return Diagnosis(
            Cause.SLOW_FIRST_TOKEN,
            0.85,
            evidence,
            advice,
            "a proxy that collects tokens on the way: ask --direct",
        )
    pace = f", one each {facts.gap * 1000:.0f} ms" if facts.gap else ""
    sure = 0.95 if facts.done else 0.7
    evidence = [
        f"{len(tokens)} {'tokens' if facts.is_events else 'pieces'}{pace}, then the end, after {heard.ended:.1f} s."
    ]
    return Diagnosis(
        Cause.HEALTHY, sure, evidence, "Nothing.", "a longer answer, or a pause, that meets a limit"
    )


def _in_heaps(facts: Facts) -> Diagnosis | None:
    clusters, tokens = facts.clusters, facts.tokens
    advice = "Ask --direct to see whether a proxy does it; in nginx: proxy_buffering off, or the header X-Accel-Buffering: no."
    if not facts.is_events and len(clusters) == 1 and len(tokens) <= 2 and tokens[0] > 0.5:
        evidence = [f"All of it came at once, after {tokens[0]:.1f} s."]
        return Diagnosis(
            Cause.BUFFERED, 0.7, evidence, advice, "an answer that is made in one piece"
        )
    if len(tokens) < FEW:
        return None
    if len(clusters) == 1 and tokens[0] > 0.3:
        evidence = [f"All {len(tokens)} tokens came at once, after {tokens[0]:.1f} s."]
        return Diagnosis(
            Cause.BUFFERED,
            0.9,
            evidence,
            advice,
            "a model that makes them that fast: ask it directly",
        )
    heaps = [cluster for cluster in clusters if len(cluster) >= HEAP]
    if sum(map(len, heaps)) > 0.6 * len(tokens) and facts.gap > WAIT:
        size = mean(map(len, heaps))
        evidence = [
            f"{len(tokens)} tokens came in {len(clusters)} heaps of about {size:.0f}, one each {facts.gap:.1f} s."
        ]
        return Diagnosis(
            Cause.BUFFERED, 0.9, evidence, advice, "a model that makes several tokens at a time"
        )
    return None


def cut(runs: list[Facts], held: float) -> Diagnosis:
    """Return the cause of a cut, from the stream and its repetitions.

    In the last repetition the request was held back for `held` seconds.

    A limit on silence always closes after the same silence. A limit on the whole always closes after the same time, and, where it counts
    from the connection, earlier if the request came later. An end that is neither is the server's or the client's own.
    """
    broken = [run for run in runs if run.transcript.ending in (End.CLOSED, End.RESET)]
    first = broken[0]
    how = "reset" if first.transcript.ending is End.RESET else "closed"
    seen = [f"The connection was {how} after {run.transcript.ended:.1f} s, {len(run.tokens)} tokens and {run.silence:.1f} s of silence."
            for run in broken]  # fmt: skip
    if len(broken) < len(runs):
        seen.append(f"{len(runs) - len(broken)} of {len(runs)} streams were not cut.")
        return Diagnosis(
            Cause.SERVER_ENDED,
            0.5,
            seen,
            "Repeat it; what comes and goes is rarely a limit. Read the server's log.",
        )
    silences = [run.silence for run in broken]
    totals = [run.transcript.ended for run in broken]
    counts = [len(run.tokens) for run in broken]
    pause = max(
        SHORTEST_LIMIT,
        1.8 * max(run.longest_gap for run in broken),
        3 * max(run.gap for run in broken),
    )
    same_silence = max(silences) - min(silences) <= max(0.3, 0.1 * mean(silences))
    same_total = max(totals[:-1]) - min(totals[:-1]) <= max(0.2, 0.05 * mean(totals[:-1]))
    earlier = (
        held > 0 and len(totals) > 1 and abs(mean(totals[:-1]) - totals[-1] - held) < 0.3 * held
    )
    if min(totals[:-1] or totals) > SHORTEST_LIMIT and earlier and same_total:
        limit = mean(totals[:-1])
        seen.append(
            f"When the request came {held:.1f} s later, the cut came {held:.1f} s earlier: the limit counts from the connection."
        )
        return _limit(Cause.TOTAL_CUT, 0.95, seen, limit)
    if min(silences) >= pause and same_silence:
        return _limit(Cause.IDLE_CUT, 0.9, seen, mean(silences))
    spread = max(totals) - min(totals)
    if mean(totals) > SHORTEST_LIMIT and spread <= max(0.15, 0.04 * mean(totals)):
        if len(set(counts)) > 1:
            return _limit(Cause.TOTAL_CUT, 0.8, seen, mean(totals))
        if abs(mean(totals) - round(mean(totals) * 2) / 2) <= 0.04:
            seen.append("It was always the same token as well; but the time is a round one.")
            return _limit(Cause.TOTAL_CUT, 0.55, seen, mean(totals))
    if len(set(counts)) == 1:
        seen.append(f"It was always after {counts[0]} tokens.")
    advice = "Read the log of the server at that time; ask --direct to see whether it is the server's doing or a proxy's."
    return Diagnosis(
        Cause.SERVER_ENDED,
        0.7,
        seen,
        advice,
        "the same silence, or the same time, before each of several cuts",
    )


def _limit(cause: Cause, confidence: float, seen: list[str], seconds: float) -> Diagnosis:
    """Diagnose a cut by a limit of about N seconds, with products that have it as default."""
    bounds: Literal["idle", "total"] = "idle" if cause is Cause.IDLE_CUT else "total"
    known = dict.fromkeys(
        limit.name
        for limit in matching(seconds, bounds)
        if limit.side in ("proxy", "platform", "server")
    )
    defaults = (
        [f"Known defaults of about {seconds:.0f} s: {'; '.join(list(known)[:4])}."] if known else []
    )
    advice = {
        "idle": f"Find who has an idle limit of about {seconds:.1f} s; raise it, or send a comment more often than that.",
        "total": f"Find who has a limit of about {seconds:.1f} s in all; raise it, or set a deadline of your own below it.",
    }[bounds]
    return Diagnosis(
        cause,
        confidence,
        [*seen, *defaults],
        advice,
        "a stream with another pace that is cut at another time",
    )


def _advice(status: int) -> str:
    known = {
        301: "Ask the address that it leads to.", 302: "Ask the address that it leads to.", 307: "Ask the address that it leads to.",
        308: "Ask the address that it leads to.",
        401: "Set OPENAI_API_KEY in the environment; it goes only to addresses that end in /v1.",
        403: "The key is known and may not do this; ask who issued it.",
        404: "Mend the address, or the model's name: --model.",
        405: "It wants another method: --post '{…}' sends JSON.",
        422: "It wants another body: --post '{…}'.",
        429: "Wait, as Retry-After says.", 502: "The proxy cannot reach its server; ask --direct.",
        503: "The server is starting, full or stopped; read its log.",
        504: "A proxy gave up before the first byte; its limit is shorter than the wait.",
    }  # fmt: skip
    return known.get(status, "Read the server's log.")


def _quoted(facts: Facts) -> list[str]:
    text = facts.transcript.body[:400].decode(errors="replace").strip()
    return [f"It says: {quote(text)}"] if text else []


def _is_text(body: bytes) -> bool:
    start = body[:1000]
    return (
        b"\0" not in start
        and sum(byte < 9 for byte in start) == 0
        and start.decode(errors="replace").count("\ufffd") < 4
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")
