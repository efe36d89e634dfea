"""HTTP clients that reach a server as it is: past any proxy, but trusting whom this machine was told to trust."""

import ssl
from typing import Any

import httpx2


def direct_client(**settings: Any) -> httpx2.Client:
    """A client that takes no proxy from the environment. Certificates are held against the system's, or those in SSL_CERT_FILE."""
    return httpx2.Client(trust_env=False, verify=ssl.create_default_context(), **settings)
