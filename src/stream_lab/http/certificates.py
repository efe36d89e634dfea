"""One certificate instead of all, so that a new model for each cell is cheap."""

import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# httpx, httpx2 and ssl read the certificates to trust from here.
VARIABLE = "SSL_CERT_FILE"

_folder = tempfile.TemporaryDirectory(prefix="stream-lab-")
_lock = threading.Lock()
_users = 0
_before: str | None = None


@contextmanager
def one_certificate() -> Iterator[None]:
    """Let new HTTP clients load one certificate, and not the machine's 150.

    Loading 150 takes longer than everything else. Use this for calls over plain HTTP, or with
    clients that have their own certificates. Blocks may overlap, in any threads; after the last,
    the environment is as it was.
    """
    global _users, _before
    with _lock:
        file = _file()
        if not _users and file is not None:
            _before = os.environ.get(VARIABLE)
            os.environ[VARIABLE] = file
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and file is not None:
                del os.environ[VARIABLE]
                if _before is not None:
                    os.environ[VARIABLE] = _before


@cache
def _file() -> str | None:
    """Return a file with one certificate. None: this machine loads certificates only on demand."""
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not trusted:
        return None
    path = Path(_folder.name) / "one.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(trusted[0]), encoding="ascii")
    return str(path)
