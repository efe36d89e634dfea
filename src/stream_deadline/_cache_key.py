"""Tell two models apart in LangChain's cache."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


def cache_key(
    base_url: str, params: Mapping[str, Any], visible: list[Any], secret: list[Any]
) -> str:
    """Return the text by which LangChain's cache knows a model.

    Args:
        base_url: of the server that answers. A user in it counts as secret.
        params: of the call.
        visible: what else tells two models apart.
        secret: the same for what may contain keys. Only a digest of it is in the text.
    """
    address = urlsplit(base_url)
    user, _, host = address.netloc.rpartition("@")
    text = json.dumps([user, address.query, *secret], sort_keys=True, default=str)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    server = f"{address.scheme}://{host}{address.path}"
    return str([*sorted(params.items()), server, *visible, digest])
