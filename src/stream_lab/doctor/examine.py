"""The examination: which streams are asked for, in what order, and what is made of them at each layer."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

from stream_lab.doctor import judge
from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.events import Says
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.probe import End, Transcript, listen
from stream_lab.doctor.target import Target
from stream_lab.witness import Witness

HELD = 0.7  # seconds by which a repeated request comes later than its connection
AFTER_DONE = 2.0  # seconds to wait for the end of a body whose end was said
PAUSE = 0.8  # seconds without a token, in a stream that has a pace, that make one look at its neighbours
STAY = 3.0  # seconds in a stream that is left, if little comes
FREE_WITHIN = 0.5  # seconds that a model's server may take to see that its client has left; a real vLLM on a busy CPU took 0.2
APART = 0.35  # seconds between the starts of neighbouring streams

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Examination:
    """A diagnosis and what it was made from: the streams by layer."""

    diagnosis: Diagnosis
    heard: dict[str, list[Transcript]]


def examine(target: Target, *, direct: Target | None = None, watch: float = 30.0, tell: Tell = lambda _: None) -> Examination:
    """Ask, listen, and find the cause.

    `direct`: the same, past the proxies; the first layer that differs is named. `watch`: seconds to listen to a stream, at most.
    `tell`: is told what is being done.
    """
    layers = {"direct": direct, "proxied": target} if direct is not None else {"": target}
    heard: dict[str, list[Transcript]] = {}
    found: dict[str, Diagnosis] = {}
    for layer, each in layers.items():
        assert each is not None
        tell(f"asking {each.url}")
        found[layer], runs = _at_one_layer(each, watch, tell)
        heard[layer] = [run.transcript for run in runs]
    diagnosis = _first_that_differs(found)
    if diagnosis.cause in (Cause.HEALTHY, Cause.NEVER_ENDS, Cause.NOT_STREAMING):
        diagnosis = _after_leaving(diagnosis, target, direct or target, tell)
    return Examination(diagnosis, heard)


def _after_leaving(diagnosis: Diagnosis, target: Target, model: Target, tell: Tell) -> Diagnosis:
    """Leave a stream, and look at the model's server, if it shows vLLM's metrics: is it free?"""
    if not model.chat:
        return diagnosis
    with Witness(model.url.removesuffix("/v1/chat/completions"), every=0.02) as witness:
        if not witness.samples:
            return diagnosis
        tell("leaving a stream, and watching the model's server")
        before = witness.samples[0].running
        heard = listen(target, STAY, on_piece=lambda heard: 0.0 if len(heard.pieces) > 2 else None)
        left = time.monotonic()
        time.sleep(FREE_WITHIN)
    seen = [sample for sample in witness.samples if heard.began < sample.at <= left]
    later = [sample for sample in witness.samples if sample.at > left]
    if heard.end is not End.WATCHED or not any(sample.running > before for sample in seen) or not later:
        return diagnosis
    if min(sample.running for sample in later) <= before:
        return replace(diagnosis, evidence=[*diagnosis.evidence, "When a client leaves, the model's server is free at once."])
    said = f"{FREE_WITHIN:g} s after its client had left, the model's server still ran the request, and made {later[-1].tokens - later[0].tokens} tokens."
    evidence = [*diagnosis.evidence, said]
    if diagnosis.cause is not Cause.HEALTHY:
        return replace(diagnosis, evidence=evidence, also=[Cause.GENERATES_AFTER_LEAVE])
    advice = "Let the disconnect reach the model: DeadlineMiddleware in the application, ChatVllm in place of ChatOpenAI."
    refuted = "other callers of the same server, whose requests were counted"
    return Diagnosis(Cause.GENERATES_AFTER_LEAVE, 0.85, evidence, advice, refuted, diagnosis.layer)


def _first_that_differs(found: dict[str, Diagnosis]) -> Diagnosis:
    if len(found) == 1:
        return next(iter(found.values()))
    near, far = found["direct"], found["proxied"]
    if near.cause is not Cause.HEALTHY:
        same = (
            "The same is seen through the proxy." if far.cause is near.cause else f"Through the proxy it looks like {far.cause}."
        )
        return replace(near, layer="direct", evidence=[*near.evidence, same])
    if far.cause is Cause.HEALTHY:
        return far
    cause = Cause.PROXY_ENDED if far.cause is Cause.SERVER_ENDED and "says:" not in far.evidence[0] else far.cause
    evidence = [*far.evidence, "Asked directly, the server is healthy."]
    return replace(far, cause=cause, layer="proxied", evidence=evidence, confidence=min(0.97, far.confidence + 0.1))


def _at_one_layer(target: Target, watch: float, tell: Tell) -> tuple[Diagnosis, list[Facts]]:
    first = Facts(listen(target, watch, on_piece=_until_done))
    diagnosis = judge.once(first)
    if diagnosis is None:
        tell(f"it was cut after {first.transcript.ended:.1f} s; asking twice more")
        again = _again(target, max(watch, first.transcript.ended + 2))
        for run in again:
            told = judge.unanswered(run)
            if told is not None and told.cause is Cause.UNREACHABLE:
                evidence = [f"The connection ended after {first.transcript.ended:.1f} s, and then nobody answered any more."]
                return Diagnosis(Cause.SERVER_ENDED, 0.8, evidence, "The server died or was restarted; read its log."), [
                    first,
                    *again,
                ]
        return judge.cut([first, *again], HELD), [first, *again]
    if diagnosis.cause in (Cause.HEALTHY, Cause.BUFFERED, Cause.NEVER_ENDS) and _stood_still(first):
        tell("it stood still for a while; listening to three at once")
        beside = _side_by_side(target, watch)
        together = _together(beside)
        if together is not None:
            return together, [first, *beside]
    return diagnosis, [first]


def _until_done(heard: Transcript) -> float | None:
    """A stream whose end was said is watched for a little longer."""
    tail = b"".join(data for _, data in heard.pieces[-20:])[-200:]  # a proxy may cut it in any place
    return heard.pieces[-1][0] + AFTER_DONE if b"[DONE]" in tail or b"event: done" in tail else None


def _again(target: Target, watch: float) -> list[Facts]:
    """Twice more, side by side; the second with its request held back."""
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(listen, target, watch, on_piece=_until_done, hold=hold) for hold in (0.0, HELD)]
        return [Facts(run.result()) for run in runs]


def _stood_still(facts: Facts) -> bool:
    return len(facts.tokens) > 4 and facts.longest_gap > max(PAUSE, 8 * facts.gap)


def _side_by_side(target: Target, watch: float) -> list[Facts]:
    def one(number: int) -> Facts:
        time.sleep(number * APART)
        return Facts(listen(target, watch, on_piece=_until_done))

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, range(3)))


def _together(runs: list[Facts]) -> Diagnosis | None:
    """Whether streams that began at different times stood still at the same time."""
    pauses = [_pauses(run) for run in runs if run.transcript.end is not End.NO_CONNECTION]
    if len(pauses) < 2 or not all(pauses):
        return None
    shared = [
        (begin, end)
        for begin, end in pauses[0]
        if all(any(min(end, e) - max(begin, b) > 0.7 * (end - begin) for b, e in other) for other in pauses[1:])
    ]
    if not shared:
        return None
    longest = max(end - begin for begin, end in shared)
    evidence = [
        f"{len(pauses)} streams that began {APART:g} s apart stood still at the same time, for up to {longest:.1f} s.",
        "A pause of the model's own would come at the same place in each stream, not at the same time.",
    ]
    advice = (
        "Find what blocks the event loop: a synchronous call in an async handler or callback. Await it, or use asyncio.to_thread."
    )
    return Diagnosis(
        Cause.LOOP_BLOCKED, 0.85, evidence, advice, "a machine or a model's server that stood still itself: ask --direct"
    )


def _pauses(facts: Facts) -> list[tuple[float, float]]:
    """When it stood still, on the clock of this machine."""
    came = [facts.transcript.began + at for at in facts.at(Says.TOKEN, Says.FINISHED)]
    least = max(PAUSE, 8 * facts.gap)
    return [(earlier, later) for earlier, later in pairwise(came) if later - earlier > least]
