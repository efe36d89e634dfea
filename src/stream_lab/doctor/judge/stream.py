"""A single stream: whole, still open, in bursts, or with faults."""

from statistics import mean

from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.dialects import Dialect, Says
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.judge.answer import unanswered
from stream_lab.doctor.limits import longer_than
from stream_lab.http.capture import End

SLOW = 2.0  # seconds to a first token that is slow, if they are also ten times the pace
HEAP = 4  # tokens that arrive together, again and again
FEW = 8  # tokens; fewer do not show how they arrive
WAIT = 0.1  # seconds between bursts that a person notices


def once(facts: Facts) -> Diagnosis | None:
    """Return the cause, if one stream shows it. None: it was cut; repeat it."""
    heard = facts.transcript
    if (early := unanswered(facts)) is not None:
        return early
    if facts.error:
        evidence = [f"After {len(facts.tokens)} tokens the stream says: {facts.error}"]
        advice = "Read the log of the server that reports the error; the error is its own."
        return Diagnosis(Cause.SERVER_ENDED, 0.95, evidence, advice)
    if facts.faults:
        advice = (
            "Look at the server or proxy that writes these bytes; "
            "--direct shows which of them it is."
        )
        return Diagnosis(
            Cause.BAD_FRAMING, 0.9, [_sentence(text) for text in facts.faults[:3]], advice
        )
    if facts.finish_reason == "abort":
        evidence = [
            f"The model's server says finish_reason 'abort' after {len(facts.tokens)} tokens."
        ]
        advice = "Its engine failed, or the server is shutting down; read its log."
        return Diagnosis(Cause.SERVER_ENDED, 0.9, evidence, advice)
    if heard.ending is End.WATCHED:
        return _still_open(facts)
    if heard.ending is End.WHOLE:
        return _whole(facts)
    return None


def _still_open(facts: Facts) -> Diagnosis:
    heard = facts.transcript
    why = f", when {heard.error}" if heard.error else ""
    watched = f"It was still open after {heard.ended:.0f} s{why}"
    bound = (
        "Bound the whole: ChatVllm(timeout=…) at the client, DeadlineMiddleware in the application."
    )
    if facts.done and heard.target.socket:
        return _whole(facts)  # a WebSocket stays open for the next question
    if facts.done:
        evidence = [
            f"The stream announced its end at {facts.at(Says.DONE)[0]:.1f} s, "
            "but the body did not end."
        ]
        advice = "Correct the server or proxy: clients that read to the end of the body hang."
        return Diagnosis(Cause.BAD_FRAMING, 0.8, evidence, advice)
    recent = max(1.5, 6 * facts.gap)
    empty = [*facts.at(Says.COMMENT), *facts.at(Says.NOTHING)]
    if facts.without_tokens > recent and [
        at for at in empty if at > heard.ended - facts.without_tokens + 0.001
    ]:
        what = "comments" if facts.at(Says.COMMENT) else "pings or empty deltas"
        since = (
            f"for the last {facts.without_tokens:.1f} s" if facts.tokens else "from the beginning"
        )
        evidence = [
            f"{watched}; only {what} came {since}, {len(empty)} of them.",
            f"{len(facts.tokens)} tokens came before.",
        ]
        advice = (
            "Bound the silence by tokens and not by bytes: ChatVllm(idle_timeout=…). "
            "Then look at the model's server."
        )
        return Diagnosis(
            Cause.KEEPALIVE_ONLY, 0.9, evidence, advice, "a token that arrives in a longer watch"
        )
    if facts.without_tokens > recent:
        silence = (
            f"nothing came for the last {facts.silence:.1f} s"
            if heard.pieces
            else "nothing came at all"
        )
        evidence = [f"{watched}; {silence}, after {len(facts.tokens)} tokens."]
        if heard.target.socket and facts.tokens:
            evidence.append(
                "A WebSocket may stay open between answers, and no message marks an end."
            )
        return Diagnosis(
            Cause.NEVER_ENDS,
            0.5 if len(evidence) > 1 else 0.7,
            evidence,
            bound,
            "a longer --watch in which it ends",
        )
    evidence = [
        f"{watched}, and tokens still came: "
        f"{len(facts.tokens)}, one every {facts.gap * 1000:.0f} ms."
    ]
    longer, known = longer_than(heard.ended)
    if longer:
        evidence.append(
            f"{len(longer)} of the {known} known limits on the whole are longer than this watch; "
            f"the next is {longer[0].default:g} s ({longer[0].product})."
        )
    return Diagnosis(
        Cause.NEVER_ENDS,
        0.95 - 0.4 * len(longer) / known,
        evidence,
        bound,
        "a longer --watch in which it ends by itself",
    )


def _whole(facts: Facts) -> Diagnosis:
    heard, tokens = facts.transcript, facts.tokens
    needs_done = heard.target.chat or any(event.answer for event in facts.events)
    names = {event.name for event in facts.events}
    if facts.is_events and not tokens:
        empty = len(facts.at(Says.COMMENT, Says.NOTHING))
        cause = Cause.KEEPALIVE_ONLY if empty > 2 else Cause.SERVER_ENDED
        evidence = [f"The stream ended after {heard.ended:.1f} s without a token."]
        return Diagnosis(cause, 0.7, evidence, "Read the server's log.")
    if needs_done and not facts.done:
        evidence = [f"{len(tokens)} tokens came and the body ended in order, but without [DONE]."]
        if facts.finish_reason:
            evidence.append(f"The model had finished ('{facts.finish_reason}').")
            advice = "Correct the server, or the proxy that drops the last event."
            return Diagnosis(Cause.MISSING_DONE, 0.95, evidence, advice)
        evidence.append(
            "The model did not report that it had finished either, "
            "so an incomplete answer may look whole."
        )
        advice = (
            "Read the server's log of that time; "
            "Starlette's BaseHTTPMiddleware makes a failed stream look whole."
        )
        return Diagnosis(Cause.SERVER_ENDED, 0.8, evidence, advice)
    if facts.dialect is not None and not facts.done:
        return _without_end(facts, facts.dialect)
    if facts.broke_off and tokens:
        return _broken_off(facts)
    if "token" in names and not facts.done:
        evidence = [f"{len(tokens)} events 'token' came, and no event marks the end."]
        advice = "Send a last event, for instance sse-starlette's {'event': 'done'}."
        return Diagnosis(Cause.MISSING_DONE, 0.6, evidence, advice)
    if (bursts := _in_bursts(facts)) is not None:
        return bursts
    if tokens and tokens[0] > max(SLOW, 10 * facts.gap):
        evidence = [
            f"The first token came after {tokens[0]:.1f} s, "
            f"the others every {facts.gap * 1000:.0f} ms."
        ]
        advice = (
            "Look at the queue (vllm:num_requests_waiting) and at the length of the prompt; "
            "first_chunk_timeout bounds the wait."
        )
        return Diagnosis(
            Cause.SLOW_FIRST_TOKEN,
            0.85,
            evidence,
            advice,
            "a proxy that collects tokens on the way: ask --direct",
        )
    # A WebSocket stays open, so its answer ends with the message that says so.
    ended = facts.at(Says.DONE)[-1] if heard.target.socket and facts.done else heard.ended
    pace = f", one every {facts.gap * 1000:.0f} ms" if facts.gap else ""
    sure = 0.95 if facts.done else 0.7
    evidence = [
        f"{len(tokens)} {'tokens' if facts.is_events else 'pieces'}{pace}, "
        f"then the end, after {ended:.1f} s."
    ]
    return Diagnosis(
        Cause.HEALTHY, sure, evidence, "Nothing.", "a longer answer, or a pause, that meets a limit"
    )


def _without_end(facts: Facts, dialect: Dialect) -> Diagnosis:
    """Diagnose a body that ended in order, but without the last event of its dialect."""
    evidence = [
        f"{len(facts.tokens)} tokens came and the body ended in order, but without "
        f"{dialect.done[0]}, with which {dialect.name} end."
    ]
    if facts.cut_inside:
        evidence.append("The last event was not complete.")
        advice = "Read the server's log of that time: the server failed while it wrote an event."
        return Diagnosis(Cause.SERVER_ENDED, 0.85, evidence, advice)
    if facts.finish_reason:
        evidence.append(f"The model had finished ('{facts.finish_reason}').")
    advice = (
        "Read the server's log of that time; either the answer is incomplete, or the server, or a "
        "proxy, drops the last event."
    )
    confidence = 0.95 if facts.finish_reason else 0.75
    return Diagnosis(Cause.MISSING_DONE, confidence, evidence, advice)


def _broken_off(facts: Facts) -> Diagnosis:
    """Diagnose a body that ended with its connection, with nothing that says it is complete."""
    heard = facts.transcript
    evidence = [
        f"{len(facts.tokens)} tokens came, then the connection was closed after {heard.ended:.1f} "
        "s. The body has no length, so only an end marker could show that it is complete.",
    ]
    advice = (
        "Send an end marker, such as [DONE], and answer in HTTP/1.1 with chunks; "
        "then a client sees an answer that breaks off. Read the server's log of that time."
    )
    if facts.cut_inside:
        evidence.append("The last event was not complete.")
        return Diagnosis(Cause.SERVER_ENDED, 0.85, evidence, advice)
    return Diagnosis(Cause.MISSING_DONE, 0.6, evidence, advice)


def _in_bursts(facts: Facts) -> Diagnosis | None:
    clusters, tokens = facts.clusters, facts.tokens
    advice = (
        "Ask --direct to see whether a proxy does it. "
        "In nginx, set proxy_buffering off, or send the header X-Accel-Buffering: no."
    )
    if not facts.is_events and len(clusters) == 1 and len(tokens) <= 2 and tokens[0] > 0.5:
        evidence = [f"The whole answer came at once, after {tokens[0]:.1f} s."]
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
            "a model that makes tokens that fast: ask --direct",
        )
    heaps = [cluster for cluster in clusters if len(cluster) >= HEAP]
    if sum(map(len, heaps)) > 0.6 * len(tokens) and facts.gap > WAIT:
        size = mean(map(len, heaps))
        evidence = [
            f"{len(tokens)} tokens came in {len(clusters)} bursts of about {size:.0f}, "
            f"one every {facts.gap:.1f} s."
        ]
        return Diagnosis(
            Cause.BUFFERED, 0.9, evidence, advice, "a model that makes several tokens at a time"
        )
    return None


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "…")) else ".")
