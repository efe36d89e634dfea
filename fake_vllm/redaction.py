"""Keys, cookies and accounts, which are shown and written nowhere."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, unquote_plus

REMOVED: Final = "removed"
"""What stands in place of a key or a cookie."""
SECRET: Final = re.compile(
    r"authorization|api[-_]?key|token|cookie|secret|password|credential"
    r"|^openai-(organization|project)$",
    re.IGNORECASE,
)
"""Names of headers and parameters whose values are not shown."""
COUNTS: Final = re.compile(r"^x-ratelimit-|[-_]tokens$", re.IGNORECASE)
"""Names that look secret and are counts."""
SECRET_PARAMETER: Final = re.compile(r"key|sig|signature|auth|code|passw(or)?d", re.IGNORECASE)
"""Further names of secrets in a query."""
LEAST_SECRET: Final = 8  # characters; a shorter key, such as "-", stands in many texts


def is_secret(name: str) -> bool:
    """Tell whether a header has a key, a cookie or an account."""
    return SECRET.search(name) is not None and COUNTS.search(name) is None


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers in which secrets are replaced."""
    return {name: shown_value(name, text) for name, text in headers.items()}


def shown_value(name: str, text: str) -> str:
    """Return the value of a header as it is shown."""
    return REMOVED if is_secret(name) else address_without_secrets(text)


def address_without_secrets(address: str) -> str:
    """Return an address, or another text, without the keys in its query."""
    path, mark, query = address.partition("?")
    return path + mark + query_without_secrets(query)


def parameters_without_secrets(query: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query in which secrets are replaced."""
    return {name: REMOVED if _is_secret_parameter(name) else text for name, text in query.items()}


def query_without_secrets(query: str) -> str:
    """Return a query string, as it came, in which the values of secrets are replaced."""
    if "=" not in query:
        return query
    return "&".join(
        f"{name}={REMOVED}" if mark and _is_secret_parameter(unquote_plus(name)) else pair
        for pair in query.split("&")
        for name, mark, _ in [pair.partition("=")]
    )


def secrets_of(headers: Mapping[str, str], query: Mapping[str, str] | None = None) -> list[str]:
    """Return the secret texts of a request, which must not stand anywhere, the longest first."""
    texts = [text for name, text in headers.items() if is_secret(name)]
    texts += [text for name, text in (query or {}).items() if _is_secret_parameter(name)]
    words = {word for text in texts for word in (text, text.rpartition(" ")[2])}
    return sorted((word for word in words if len(word) >= LEAST_SECRET), key=len, reverse=True)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets, plain or quoted for JSON or a URL."""
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            text = text.replace(form, REMOVED)
    return text


def _is_secret_parameter(name: str) -> bool:
    return is_secret(name) or SECRET_PARAMETER.fullmatch(name) is not None
