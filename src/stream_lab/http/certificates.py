"""One certificate instead of all of them: what makes a model cheap enough to be made anew for each cell."""

import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

# Where httpx, httpx2 and ssl look for the certificates to trust.
VARIABLE = "SSL_CERT_FILE"

_folder = tempfile.TemporaryDirectory(prefix="stream-lab-")
_lock = threading.Lock()
_users = 0
_before: str | None = None


@contextmanager
def one_certificate() -> Iterator[None]:
    """Have new HTTP clients load one certificate, not the machine's 150.

    Loading those takes longer than all else.

    For calls over plain HTTP, or with clients that bring their own certificates. Blocks may overlap, in any threads; when the last
    has ended, the environment is as it was.
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
    """None: this machine's certificates are looked up when they are needed, and cost nothing before."""
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not trusted:
        return None
    path = Path(_folder.name) / "one.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(trusted[0]), encoding="ascii")
    return str(path)
