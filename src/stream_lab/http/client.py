"""HTTP clients that reach a server directly, past any proxy, with one policy for certificates.

The clients trust the certificates that this machine trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` name
others, as for OpenSSL's own tools.
"""

import os
import ssl
from functools import cache
from typing import Any

import httpx2

NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trust() -> ssl.SSLContext:
    """Return the certificates to trust, as the environment names them now."""
    return _trust(*(os.environ.get(name) for name in NAMES))


def direct_client(**settings: Any) -> httpx2.Client:
    """Make a client that ignores proxies in the environment; httpx2's `settings` override this."""
    return httpx2.Client(**{"trust_env": False, "verify": trust(), **settings})


def direct_async_client(**settings: Any) -> httpx2.AsyncClient:
    """Make the same client for asynchronous code."""
    return httpx2.AsyncClient(**{"trust_env": False, "verify": trust(), **settings})


def reach_this_machine_directly() -> None:
    """Exempt 127.0.0.1 from the proxies in this process's environment.

    LangChain's clients read the environment when they are made, so this changes it, for the whole
    process.
    """
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        if "127.0.0.1" not in hosts:
            os.environ[name] = ",".join([*hosts, "127.0.0.1", "localhost"])


@cache
def _trust(*_: str | None) -> ssl.SSLContext:
    """Read the certificates once for each environment, since that is slower than most requests."""
    return ssl.create_default_context()
