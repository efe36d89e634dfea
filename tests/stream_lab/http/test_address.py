"""An address that an error quotes has no password and no query."""

import pytest

from stream_lab.http.address import quotable

QUOTED = {
    "http://host:8000/v1": "http://host:8000/v1",
    "nonsense": "nonsense",
    "localhost:8000/v1": "localhost:8000/v1",
    "": "",
    "htp://user:S3cret@host/v1": "htp://•••@host/v1",
    "http://S3cret@host:99999/v1": "http://•••@host:99999/v1",
    "user:S3cret@host:1/v1": "•••@host:1/v1",
    "//user:S3cret@host/v1": "//•••@host/v1",
    "http:/user:S3cret@host/v1": "•••@host/v1",
    "http://user:S3/cret@host/v1": "http://•••@host/v1",
    "http://user:S3@cret@host/v1": "http://•••@host/v1",
    "http://user:S3?cret@host/v1": "http://•••",
    "http://user:S3#cret@host/v1": "http://•••",
    "http://host/x?api_key=S3cret y": "http://host/x?•••",
    "http://host/x?mail=a@b&api_key=S3cret": "http://•••",
    "http://host/x#S3cret": "http://host/x?•••",
    "http://user:S3cret@host/x?api_key=S3cret": "http://•••@host/x?•••",
    "http://[::1/v1?api_key=S3cret": "http://[::1/v1?•••",
}


@pytest.mark.parametrize("address", QUOTED)
def test_an_error_quotes_an_address_without_secrets(address: str) -> None:
    assert quotable(address) == QUOTED[address]
