"""Some cells of each kind over TLS, with clients of the user's own."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme

from stream_deadline import ChatVllm
from stream_lab.matrix import Cell, Result
from tests.stream_deadline.played import by_name, of_some_calls, played


class Certificates:
    """A throw-away authority, and a server's certificate from it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.certificate, self.key, trusted = (
            folder / "server.pem",
            folder / "server.key",
            folder / "authority.pem",
        )
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(self.key)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        authority.cert_pem.write_to_path(trusted)
        self.trust = ssl.create_default_context(cafile=str(trusted))


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[Cell, Result]:
    certificates = Certificates(tmp_path_factory.mktemp("tls"))

    def model(**settings: Any) -> ChatVllm:
        own = {
            "http_client": openai.DefaultHttpxClient(verify=certificates.trust),
            "http_async_client": openai.DefaultAsyncHttpxClient(verify=certificates.trust),
        }
        return ChatVllm(**settings, **own)

    files: dict[str, Any] = {
        "fake_ssl_certfile": certificates.certificate,
        "fake_ssl_keyfile": certificates.key,
    }
    return played(request, model, **files)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "cell", [cell for cell in of_some_calls() if cell.name != "two loops in turn"], ids=by_name
)
def test_a_cell_over_tls_holds(cell: Cell, results: Mapping[Cell, Result]) -> None:
    """Not in two event loops: the user's asynchronous client belongs to one loop."""
    assert not results[cell].why
