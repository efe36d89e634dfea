"""Tell two models apart in LangChain's cache."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit


def cache_key(
    addresses: Iterable[str], params: Mapping[str, Any], visible: list[Any], secret: list[Any]
) -> str:
    """Return the text by which LangChain's cache knows a model.

    Args:
        addresses: of the servers that answer. A user in one counts as secret.
        params: of the call.
        visible: what else tells two models apart.
        secret: the same for what may contain keys. Only a digest of it is in the text.
    """
    servers, hidden = [], list(secret)
    for each in map(urlsplit, addresses):
        user, _, host = each.netloc.rpartition("@")
        servers.append(f"{each.scheme}://{host}{each.path}")
        hidden += [user, each.query]
    text = json.dumps(hidden, sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return str([*sorted(params.items()), *servers, *visible, digest])
