"""The secrets of the doctor's requests, which a diagnosis must not show."""

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import unquote_plus, urlsplit

from fake_vllm.redaction import is_secret, readings, secrets_in_address, secrets_in_header
from stream_lab.doctor.diagnosis import Diagnosis
from stream_lab.doctor.target import Target
from stream_lab.redact import spellings_of, without

PLAIN = {
    *("accept", "accept-language", "accept-encoding", "content-type", "user-agent", "host"),
    *("origin", "referer", "cache-control", "pragma", "traceparent", "x-request-id"),
    *("x-timeout-ms", "last-event-id", "sec-websocket-protocol"),
}
"""Headers whose values are not secret."""
SCHEMES = {"basic", "bearer", "token"}
"""First words of headers, which are no secret."""
SECRET_NAME = re.compile(r"(?i)key|token|secret|passw|pwd|credential|signature|^sig$|auth")
"""Names of parameters whose values are secret, however short."""
SURE = 8  # characters; a shorter word without a secret name occurs in any sentence


def secrets_of(targets: Iterable[Target]) -> list[str]:
    """Return every text of the requests that must not be shown, the longest first.

    They are the values of headers that are not plain, users and passwords in addresses, and
    parameters whose names mark a secret.
    """
    found: set[str] = set()
    for target in targets:
        found.update(each for each in secrets_in_address(target.url) if len(each) >= SURE)
        for part in re.split("[&;]", urlsplit(target.url).query):
            name, _, value = part.partition("=")
            if SECRET_NAME.search(unquote_plus(name)):
                found.add(value)
        for name, value in target.headers:
            found.update(secrets_in_header(name, value) if name in PLAIN else _parts(name, value))
    return spellings_of(text for secret in found for text in readings(secret))


def hide(diagnosis: Diagnosis, secrets: list[str]) -> Diagnosis:
    """Return the diagnosis without the secrets."""
    return replace(
        diagnosis,
        evidence=[without(text, secrets) for text in diagnosis.evidence],
        next=without(diagnosis.next, secrets),
        refuted_by=without(diagnosis.refuted_by, secrets),
    )


def _parts(name: str, value: str) -> set[str]:
    """Return a value, its words, the values of its cookies, and what Basic encodes."""
    words = re.split(r"[\s;,]+", value)
    found = {value, *words, *(word.partition("=")[2] for word in words)}
    is_key = is_secret(name) or words[0].lower() in SCHEMES
    if is_key:
        found.update(secrets_in_header("authorization", value))
    found = {each.strip("\"'") for each in found}
    return {
        each
        for each in found
        if each.lower() not in SCHEMES
        and (is_key or len(each) >= SURE or (each == value and not each.isalpha()))
    }
