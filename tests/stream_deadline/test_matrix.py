"""Every cell of the matrix, for `ChatVllm`: over real sockets, with wide bounds, the fake's ledger as witness."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme

from stream_deadline import ChatVllm
from stream_lab.matrix import Cell, Result, cells, play

# Wide, since other tests run beside these: the question is whether it holds, not how fast this machine is.
WIDE: dict[str, Any] = {"deadline": 1.0, "lateness": 1.0, "jobs": 12}
# Where the question is the loop or TLS: a call of each kind, and the servers and callers that a connection is about.
GROUPS = {"what the server does", "what the server does, pooled", "what the caller does"}
SOME = {"astream", "chain.astream", "ainvoke", "stream", "invoke"}


def chosen(request: pytest.FixtureRequest, name: str) -> list[Cell]:
    """The cells that the selected tests of one function ask for, so that `-k` plays no others."""
    items = [item for item in request.session.items if getattr(item, "originalname", None) == name]
    return [item.callspec.params["cell"] for item in items]  # type: ignore[attr-defined]


def by_name(cell: Cell) -> str:
    return cell.name


def of_some_calls() -> list[Cell]:
    return [
        cell
        for cell in cells()
        if cell.row.group in GROUPS and (cell.column is None or cell.column.name in SOME)
    ]


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Mapping[Cell, Result]:
    return {
        result.cell: result for result in play(ChatVllm, chosen(request, "test_it_holds"), **WIDE)
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cell", cells(), ids=by_name)
def test_it_holds(cell: Cell, results: Mapping[Cell, Result]) -> None:
    assert not results[cell].why


@pytest.fixture(scope="module")
def results_on_uvloop(request: pytest.FixtureRequest) -> Mapping[Cell, Result]:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")
    played = play(
        ChatVllm, chosen(request, "test_it_holds_on_uvloop"), new_loop=uvloop.new_event_loop, **WIDE
    )
    return {result.cell: result for result in played}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", [cell for cell in of_some_calls() if cell.is_async], ids=by_name)
def test_it_holds_on_uvloop(cell: Cell, results_on_uvloop: Mapping[Cell, Result]) -> None:
    assert not results_on_uvloop[cell].why


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
def results_over_tls(
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
    played = play(
        model,
        chosen(request, "test_it_holds_over_tls_with_clients_of_the_users_own"),
        **{**WIDE, "jobs": 8},
        **files,
    )
    return {result.cell: result for result in played}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "cell", [cell for cell in of_some_calls() if cell.name != "two loops in turn"], ids=by_name
)
def test_it_holds_over_tls_with_clients_of_the_users_own(
    cell: Cell, results_over_tls: Mapping[Cell, Result]
) -> None:
    """Not in two event loops in turn: an asynchronous client that the user made belongs to the loop it is first used in."""
    assert not results_over_tls[cell].why
