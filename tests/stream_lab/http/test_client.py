"""One policy for certificates: each HTTP tool trusts the file in SSL_CERT_FILE alone."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from stream_lab.doctor.probe import listen
from stream_lab.doctor.target import Target, only_model
from stream_lab.experiment.fake import Fake
from stream_lab.experiment.witness import Witness
from stream_lab.http.capture import read
from stream_lab.http.client import direct_client


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls") / "ca.pem"


@pytest.fixture(scope="module")
def secure(authority: Path) -> Iterator[Fake]:
    with Fake("finite:tokens=3", gap=0.001, tls_self_signed=True, tls_ca=authority) as fake:
        yield fake


def got(url: str) -> bool:
    with direct_client(timeout=5) as client:
        try:
            return client.get(url).status_code == 200
        except httpx2.ConnectError:
            return False


REACHES: dict[str, Callable[[Fake], bool]] = {
    "the client": lambda fake: got(f"{fake.root}/health"),
    "a capture": lambda fake: read(f"{fake.root}/health").status == 200,
    "the doctor's probe": lambda fake: listen(Target.of(f"{fake.root}/health"), 5.0).status == 200,
    "the doctor's question for the model": lambda fake: only_model(fake.base_url) == "fake-model",
    "the witness": lambda fake: Witness(fake.root).poll() is not None,
}


@pytest.mark.parametrize("who", REACHES)
def test_an_authority_that_the_environment_names_is_trusted(
    who: str, secure: Fake, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert not REACHES[who](secure)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    assert REACHES[who](secure)
