"""Values of headers, hidden wherever a server or a log repeats them."""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote, quote_plus

from stream_lab.doctor.diagnosis import Diagnosis
from stream_lab.doctor.target import Target

HIDDEN = "•••"
PLAIN = {
    *("accept", "accept-language", "accept-encoding", "content-type", "user-agent", "host"),
    *("origin", "referer", "cache-control", "pragma", "traceparent", "x-request-id"),
    *("x-timeout-ms", "last-event-id", "sec-websocket-protocol"),
}
"""Headers whose values are not secret."""
SHORTEST = 4  # characters; a shorter value occurs in any sentence
PART = 6  # characters of a secret whose rest was cut off


def secrets_of(targets: Iterable[Target]) -> list[str]:
    """Return every text of the requests' headers that must not be shown, the longest first."""
    found: set[str] = set()
    for target in targets:
        for name, value in target.headers:
            if name not in PLAIN:
                found |= _parts(value)
    spelled = {
        form
        for text in found
        if len(text) >= SHORTEST
        for form in (text, json.dumps(text)[1:-1], html.escape(text), quote(text), quote_plus(text))
    }
    return sorted(spelled, key=len, reverse=True)


def hide(diagnosis: Diagnosis, secrets: list[str]) -> Diagnosis:
    """Return the diagnosis without the secrets."""
    return replace(
        diagnosis,
        evidence=[without(text, secrets) for text in diagnosis.evidence],
        next=without(diagnosis.next, secrets),
        refuted_by=without(diagnosis.refuted_by, secrets),
    )


def without(text: str, secrets: list[str]) -> str:
    """Return a text with each secret hidden, and each part that a cut has left."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    for secret in secrets:
        for length in range(len(secret) - 1, PART - 1, -1):
            # A quotation was cut inside the secret: an ellipsis follows, or the text ends.
            text, times = re.subn(rf"{re.escape(secret[:length])}(?=…|\.?$)", HIDDEN, text)
            if times:
                break
    return text


def _parts(value: str) -> set[str]:
    """Return a value, its words, the values of its cookies, and what Basic encodes."""
    words = re.split(r"[\s;,]+", value)
    found = {value, *words, *(word.partition("=")[2] for word in words)}
    if value.lower().startswith("basic "):
        try:
            plain = base64.b64decode(value[6:], validate=True).decode()
            found |= {plain, plain.partition(":")[2]}
        except (binascii.Error, UnicodeDecodeError):
            pass
    return {each.strip("\"'") for each in found} - {"Bearer", "Basic", "Token", ""}
