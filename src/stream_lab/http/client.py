"""HTTP clients that reach a server as it is: past any proxy, and with one policy for certificates.

Certificates are held against those that this machine trusts. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others, as for OpenSSL's own tools.
"""

import os
import ssl
from functools import cache
from typing import Any

import httpx2

NAMES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trust() -> ssl.SSLContext:
    """Return the certificates to trust, as the environment says now."""
    return _trust(*(os.environ.get(name) for name in NAMES))


def direct_client(**settings: Any) -> httpx2.Client:
    """Make a client that takes no proxy from the environment. `settings`: httpx2's; they win."""
    return httpx2.Client(**{"trust_env": False, "verify": trust(), **settings})


def direct_async_client(**settings: Any) -> httpx2.AsyncClient:
    """Make the same client for an event loop."""
    return httpx2.AsyncClient(**{"trust_env": False, "verify": trust(), **settings})


def reach_this_machine_directly() -> None:
    """Keep proxies of the environment from standing between this process's clients and 127.0.0.1.

    LangChain's clients read the environment when they are made, so this changes it, for the whole process.
    """
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        if "127.0.0.1" not in hosts:
            os.environ[name] = ",".join([*hosts, "127.0.0.1", "localhost"])


@cache
def _trust(*_: str | None) -> ssl.SSLContext:
    """Read the certificates, once for each environment: it takes longer than most requests."""
    return ssl.create_default_context()
