"""The secrets of the doctor's requests, which a diagnosis must not show."""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote, unquote_plus, urlsplit

from stream_lab.doctor.diagnosis import Diagnosis
from stream_lab.doctor.target import Target
from stream_lab.redact import spellings_of, without

PLAIN = {
    *("accept", "accept-language", "accept-encoding", "content-type", "user-agent", "host"),
    *("origin", "referer", "cache-control", "pragma", "traceparent", "x-request-id"),
    *("x-timeout-ms", "last-event-id", "sec-websocket-protocol"),
}
"""Headers whose values are not secret."""
SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|credential|signature|^sig$|auth")
"""Names of parameters in an address whose values are secret."""


def secrets_of(targets: Iterable[Target]) -> list[str]:
    """Return every text of the requests that must not be shown, the longest first.

    They are the values of headers that are not plain, and of parameters with such a name.
    """
    found: set[str] = set()
    for target in targets:
        for name, value in target.headers:
            if name not in PLAIN:
                found |= _parts(value)
        for part in urlsplit(target.url).query.split("&"):
            name, _, value = part.partition("=")
            if SECRET_NAME.search(unquote_plus(name)):
                # As it is written, too: a `+` stands for itself there, or for a space.
                found |= {value, unquote(value), unquote_plus(value)}
    return spellings_of(found)


def hide(diagnosis: Diagnosis, secrets: list[str]) -> Diagnosis:
    """Return the diagnosis without the secrets."""
    return replace(
        diagnosis,
        evidence=[without(text, secrets) for text in diagnosis.evidence],
        next=without(diagnosis.next, secrets),
        refuted_by=without(diagnosis.refuted_by, secrets),
    )


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
