"""Logs of strangers: no line breaks the reading, or acts on a terminal."""

import gzip
import json
from pathlib import Path

import pytest

from stream_lab.doctor.logs import lines, lines_of

LONG = "9" * 5000
EVIL = "\x1b[2J\u202e"
CUT = {"status": 504, "path": "/x", "method": "GET"}
LINES = {
    "brackets": "{" * 50_000,
    "deep JSON": '{"a":' * 900 + "1" + "}" * 900,
    "a long number": json.dumps(CUT)[:-1] + f', "time": {LONG}}}',
    "a time that is none": json.dumps({**CUT, "time": float("nan")}),
    "a time before all": json.dumps({**CUT, "ts": -1e300}),
    "a size that is no number": json.dumps({**CUT, "originstatus": 1, "origincontentsize": "²"}),
    "a size of many digits": json.dumps({**CUT, "originstatus": 1, "origincontentsize": LONG}),
    "digits of another script": '٣ - - [٢٧/Nov/٢٠٢٦:20:44:41 +0000] "GET / HTTP/1.1" ٥٠٤ ٠',
    "a zone that is none": '1.2.3.4 - - [27/Nov/2026:20:44:41 +9999] "GET / HTTP/1.1" 504 0',
    "a worker of many digits": f"[2026-11-27 20:44:41 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:{LONG})",
    "zeros": "\0" * 1000,
    "an escape": f'1.2.3.4 - - [27/Nov/2026:20:44:41 +0000] "GET /{EVIL} HTTP/1.1" 504 0',
    "an escape in JSON": json.dumps({**CUT, "path": f"/{EVIL}"}, ensure_ascii=False),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_line_of_any_content_is_read_and_shown_as_text(line: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(f"{line}\n", encoding="utf-8")
    assert all(each.text.isprintable() for each in lines_of([log]))


def test_an_endless_line_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "AT_ONCE", 1000)
    log = tmp_path / "access.log"
    cut = LINES["a zone that is none"]
    log.write_text(f"{'x' * 5000}{cut}\n{cut}\n", encoding="utf-8")
    assert len(lines_of([log])) == 1


def test_a_packed_log_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_UNPACKED", 1000)
    log = tmp_path / "access.log.gz"
    log.write_bytes(gzip.compress(b"x\n" * 1000))
    with pytest.raises(OSError, match="it unpacks to more than 1,000 bytes"):
        lines_of([log])
