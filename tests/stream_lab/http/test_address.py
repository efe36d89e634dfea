"""Addresses as they are sent, and as an error quotes them."""

import pytest

from stream_lab.http.address import parts_of, quotable, sent

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


SENT = {
    "http://host:8000/v1": "http://host:8000/v1",
    "http://Host": "http://Host",
    "http://host?": "http://host",
    "http://host/a%20b%C3%A9?q=%zz+1": "http://host/a%20b%C3%A9?q=%zz+1",
    "http://host/é?q=é&r=日": "http://host/%C3%A9?q=%C3%A9&r=%E6%97%A5",
    'http://host/"<>\\^`{|}': 'http://host/"<>\\^`{|}',
    "http://例え.test": "http://xn--r8jz45g.test",
    "http://exämple.test:8000/x": "http://xn--exmple-cua.test:8000/x",
    "http://[fe80::1%25lo]:9/é": "http://[fe80::1%25lo]:9/%C3%A9",
    "http://host/x#frag": "http://host/x",
    "http://host/x?q=1#é": "http://host/x?q=1",
}


@pytest.mark.parametrize("address", SENT)
def test_an_address_is_sent_in_ascii_and_without_its_fragment(address: str) -> None:
    assert sent(parts_of(address)).geturl() == SENT[address]
