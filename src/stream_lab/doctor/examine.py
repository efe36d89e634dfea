"""The examination: which streams are requested, in what order, and what each layer shows."""

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, pairwise

from stream_lab.doctor import judge
from stream_lab.doctor.diagnosis import Cause, Diagnosis
from stream_lab.doctor.dialects import Says
from stream_lab.doctor.facts import Facts
from stream_lab.doctor.probe import Transcript, listen
from stream_lab.doctor.secrets import hide, secrets_of
from stream_lab.doctor.target import Target
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.release import judge as judge_release
from stream_lab.experiment.release import wait_while
from stream_lab.experiment.witness import Witness
from stream_lab.http.capture import End
from stream_lab.redact import without

HELD = 0.7  # seconds by which a repeated request comes later than its connection
AFTER_DONE = 2.0  # seconds to wait for the end of a body after the stream's last event
PAUSE = 0.8  # seconds without a token, in a steady stream, that call for streams side by side
STAY = 3.0  # seconds in a stream before disconnecting, if little arrives
FREE_WITHIN = 0.5
"""Seconds a model's server may take to notice a disconnect; a real vLLM on a busy CPU took 0.2."""
APART = 0.35  # seconds between the starts of streams side by side
SAME = 0.2
"""Seconds between moments that count as one; less than `APART`, to tell pauses apart."""
OPEN = (Cause.NEVER_ENDS, Cause.KEEPALIVE_ONLY, Cause.SLOW_FIRST_TOKEN)
"""What a layer in front of the server may turn into a cut, or repair."""

PLACES = {
    "direct": "Asked directly,",
    "in-process": "In this process,",
    "proxied": "Through the proxy,",
    "browser": "In a browser,",
    "": "Closer to the model,",
}

_DONE = re.compile(
    rb"\[DONE\]|event: ?(done|message_stop|response\.(completed|incomplete|failed))[\r\n]"
)

Tell = Callable[[str], None]
Listen = Callable[..., Transcript]
"""`probe.listen`, or what has its arguments."""


@dataclass(frozen=True)
class Examination:
    """A diagnosis and its basis.

    Attributes:
        diagnosis: the cause, with evidence and advice.
        runs: the facts of the streams, by layer. Their analysis may take seconds, so each stream
            has one.
    """

    diagnosis: Diagnosis
    runs: dict[str, list[Facts]]

    @property
    def heard(self) -> dict[str, list[Transcript]]:
        """Return the transcripts of the streams, by layer."""
        return {layer: [run.transcript for run in runs] for layer, runs in self.runs.items()}

    @property
    def flowed(self) -> bool | None:
        """Tell whether tokens came until a stream was cut. None: none was cut."""
        runs = self.runs.get(self.diagnosis.layer, [])
        cut = [run for run in runs if run.transcript.was_cut]
        if not cut:
            return None
        return all(
            len(each.tokens) > 2 and each.without_tokens < max(PAUSE, 4 * each.gap) for each in cut
        )


def examine(
    target: Target,
    *,
    direct: Target | None = None,
    within: Target | None = None,
    browser: bool = False,
    watch: float = 30.0,
    tell: Tell = lambda _: None,
) -> Examination:
    """Request streams, listen, and find the cause.

    Args:
        target: the request to examine.
        direct: the same request to the model's server, past every proxy. None: not examined.
        within: the same request to a server in this process, without a proxy. None: not examined.
        browser: whether to send the request from a browser, too.
        watch: how long to listen to a stream at most, in seconds.
        tell: receives a sentence before each step.

    Returns:
        The diagnosis, which names the first layer that differs, and the facts of the streams.

    Raises:
        TargetError: a browser cannot send the request.
        ProcessError: the browser does not start, or is not installed.
        MissingExtra: a package for a browser or a WebSocket is not installed.
    """
    layers = {"direct": direct, "in-process": within, "proxied": target}
    if browser:
        layers["browser"] = target
    asked = [each for each in layers.values() if each is not None]
    secrets = secrets_of(asked)
    runs: dict[str, list[Facts]] = {}
    found: list[Diagnosis] = []
    for layer, each in layers.items():
        if each is not None:
            tell(f"asking {without(each.url, secrets)}{' in a browser' * (layer == 'browser')}")
            diagnosis, runs[layer] = _at_one_layer(each, watch, tell, _listener(layer))
            found.append(replace(diagnosis, layer=layer))
    diagnosis = reduce(_nearer, found)
    if len(found) == 1:
        diagnosis, runs = replace(diagnosis, layer=""), {"": runs["proxied"]}
    if diagnosis.cause in (Cause.HEALTHY, Cause.NEVER_ENDS, Cause.NOT_STREAMING):
        diagnosis = _after_leaving(diagnosis, target, direct or target, tell)
    return Examination(hide(diagnosis, secrets), runs)


def _listener(layer: str) -> Listen:
    if layer != "browser":
        return listen
    from stream_lab.doctor.in_browser import listen_in_browser

    return listen_in_browser


def _nearer(near: Diagnosis, far: Diagnosis) -> Diagnosis:
    """Decide which of two layers has the fault; each diagnosis names its layer."""
    nearer = PLACES[near.layer]
    if far.cause is Cause.HEALTHY and near.cause is Cause.HEALTHY:
        return replace(far, layer="")
    if far.cause is Cause.HEALTHY and near.cause in OPEN:
        care = f"{nearer} it shows {near.cause}; a layer in front of it repairs that."
        return replace(far, layer="", evidence=[*far.evidence, care])
    if near.cause is far.cause:
        return replace(near, evidence=[*near.evidence, f"{PLACES[far.layer]} it is the same."])
    if near.cause is not Cause.HEALTHY and near.cause not in OPEN:
        return replace(
            near, evidence=[*near.evidence, f"{PLACES[far.layer]} it looks like {far.cause}."]
        )
    finding = (
        "is healthy." if near.cause is Cause.HEALTHY else f"shows {near.cause}: {near.evidence[0]}"
    )
    ended = (
        far.cause is Cause.SERVER_ENDED
        and far.layer == "proxied"
        and " says:" not in far.evidence[0]
    )
    return replace(
        far,
        cause=Cause.PROXY_ENDED if ended else far.cause,
        evidence=[*far.evidence, f"{nearer} it {finding}"],
        confidence=min(0.97, far.confidence + 0.1),
    )


def _after_leaving(diagnosis: Diagnosis, target: Target, model: Target, tell: Tell) -> Diagnosis:
    """Disconnect from a stream, and check that the model's server becomes free."""
    if not model.chat:
        return diagnosis
    with Witness(model.url.removesuffix("/v1/chat/completions"), every=0.02) as witness:
        if not witness.samples:
            return diagnosis
        tell("disconnecting from a stream, and watching the model's server")
        running = witness.samples[0].running
        heard = listen(target, STAY, on_piece=lambda heard: 0.5 if len(heard.pieces) > 2 else None)
        left = time.monotonic()
        wait_while(lambda: not witness.is_idle(running, since=left), patience=FREE_WITHIN)
        ended = time.monotonic()
    release = judge_release(witness.samples, running, asked=heard.began, left=left, ended=ended)
    if heard.ending is not End.WATCHED or isinstance(release.server, Unknown):
        return diagnosis
    if release.freed is not None:
        return replace(
            diagnosis,
            evidence=[
                *diagnosis.evidence,
                "When a client disconnects, the model's server is free at once.",
            ],
        )
    unfreed = (
        f"{FREE_WITHIN:g} s after its client had disconnected, the model's server still ran the "
        f"request, and made {release.tokens} tokens."
    )
    evidence = [*diagnosis.evidence, unfreed]
    if diagnosis.cause is not Cause.HEALTHY:
        return replace(diagnosis, evidence=evidence, also=[Cause.GENERATES_AFTER_LEAVE])
    advice = (
        "Pass the disconnect on to the model: "
        "DeadlineMiddleware in the application, ChatVllm in place of ChatOpenAI."
    )
    refuted = "other clients of the same server, whose requests were counted"
    return Diagnosis(Cause.GENERATES_AFTER_LEAVE, 0.85, evidence, advice, refuted, diagnosis.layer)


def _at_one_layer(
    target: Target, watch: float, tell: Tell, ask: Listen
) -> tuple[Diagnosis, list[Facts]]:
    first = Facts(ask(target, watch, on_piece=_until_done))
    diagnosis = judge.once(first)
    if diagnosis is None:
        tell(f"the stream was cut after {first.transcript.ended:.1f} s; asking twice more")
        held = HELD if ask is listen else 0.0
        again = _again(target, max(watch, first.transcript.ended + 2), ask, held)
        for run in again:
            failure = judge.unanswered(run)
            if failure is not None and failure.cause is Cause.UNREACHABLE:
                evidence = [
                    f"The connection ended after {first.transcript.ended:.1f} s, "
                    "and after that no server answered."
                ]
                advice = "The server died or was restarted; read its log."
                return Diagnosis(Cause.SERVER_ENDED, 0.8, evidence, advice), [first, *again]
        return judge.cut([first, *again], held), [first, *again]
    if diagnosis.cause in (Cause.HEALTHY, Cause.BUFFERED, Cause.NEVER_ENDS) and _stood_still(first):
        tell("the stream stood still for a while; listening to three at once")
        beside = _side_by_side(target, watch, ask)
        together = _together(beside)
        if together is not None:
            return together, [first, *beside]
    return diagnosis, [first]


def _until_done(heard: Transcript) -> float | None:
    """Watch a stream for a little longer after its last event."""
    # A proxy may cut the body in any place, so the last pieces are joined.
    tail = b"".join(data[-200:] for _, data in heard.pieces[-20:])[-200:]
    if not _DONE.search(tail):
        return None
    # A WebSocket stays open, so there is no end of a body to wait for.
    return heard.pieces[-1][0] + (0.0 if heard.target.socket else AFTER_DONE)


def _again(target: Target, watch: float, ask: Listen, held: float) -> list[Facts]:
    """Ask twice more, side by side; the second request is held back."""
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(ask, target, watch, on_piece=_until_done, hold=hold) for hold in (0.0, held)
        ]
        return [Facts(run.result()) for run in runs]


def _stood_still(facts: Facts) -> bool:
    return len(facts.tokens) > 4 and facts.longest_gap > max(PAUSE, 8 * facts.gap)


def _side_by_side(target: Target, watch: float, ask: Listen) -> list[Facts]:
    def one(number: int) -> Facts:
        time.sleep(number * APART)
        return Facts(ask(target, watch, on_piece=_until_done))

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(one, range(3)))


def _together(runs: list[Facts]) -> Diagnosis | None:
    """Diagnose streams that began at different times and stood still together."""
    shared = [
        end - begin
        for one, other in combinations([_pauses(run) for run in runs], 2)
        for begin, end in one
        if any(abs(end - later) < SAME and abs(begin - earlier) < SAME for earlier, later in other)
    ]
    if not shared:
        return None
    evidence = [
        f"Streams that began {APART:g} s apart stood still at the same time, "
        f"for up to {max(shared):.1f} s.",
        "A pause of the model's own would come at the same place in each stream, "
        "and not at the same time.",
    ]
    advice = (
        "Find the call that blocks the event loop: a synchronous call in an async handler or "
        "callback. Await it, or use asyncio.to_thread."
    )
    return Diagnosis(
        Cause.LOOP_BLOCKED,
        0.85,
        evidence,
        advice,
        "a machine or a model's server that itself stood still: ask --direct",
    )


def _pauses(facts: Facts) -> list[tuple[float, float]]:
    """Return when the stream stood still, on the clock of this machine."""
    came = [facts.transcript.began + at for at in facts.at(Says.TOKEN, Says.FINISHED)]
    least = max(PAUSE, 8 * facts.gap)
    return [(earlier, later) for earlier, later in pairwise(came) if later - earlier > least]
