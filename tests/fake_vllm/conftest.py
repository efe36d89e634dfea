"""A certificate authority of our own, for a fake that speaks TLS."""

import ssl
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme


class Certificates(NamedTuple):
    """What the authority issued, and a context that trusts it."""

    trusting: ssl.SSLContext
    certificate: Path
    key: Path
    other_key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    authority, trusting = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(trusting)
    issued = authority.issue_cert("127.0.0.1")
    made = Certificates(
        trusting, folder / "certificate.pem", folder / "key.pem", folder / "other.pem"
    )
    issued.cert_chain_pems[0].write_to_path(made.certificate)
    issued.private_key_pem.write_to_path(made.key)
    authority.issue_cert("localhost").private_key_pem.write_to_path(made.other_key)
    return made
