"""Logs of strangers: no line breaks the reading, or acts on a terminal."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
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


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
BIG = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]


def packed(folder: Path, data: bytes) -> Path:
    log = folder / "access.log.1"
    log.write_bytes(data)
    return log


@pytest.mark.parametrize("by", PACK)
def test_a_packed_log_is_read(by: str, tmp_path: Path) -> None:
    first, second = (f"{'x' * 999}\n{LINES['a zone that is none']}\n".encode() * n for n in (3, 99))
    log = packed(tmp_path, PACK[by](first) + PACK[by](second))
    found = lines_of([log], sizes={log: 10})
    assert len(found) == 102
    assert not any(each.is_new for each in found)


@pytest.mark.parametrize("by", PACK)
def test_a_packed_log_has_a_bound(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_UNPACKED", 1000)
    with pytest.raises(OSError, match="it unpacks to more than 1,000 bytes"):
        lines_of([packed(tmp_path, PACK[by](b"x\n" * 1000))])


@pytest.mark.parametrize("by", PACK)
@pytest.mark.parametrize("broken", ["cut", "bent", "followed"])
def test_a_packed_log_that_is_broken_is_one_sentence(by: str, broken: str, tmp_path: Path) -> None:
    whole = PACK[by](bytes(range(256)) * 100)
    half = len(whole) // 2
    data = {
        "cut": whole[:half],
        "bent": whole[:half] + bytes(99) + whole[half:],
        "followed": whole + PACK[by](b"more")[:15],
    }[broken]
    log = packed(tmp_path, data)
    with pytest.raises(OSError, match="its compression is broken") as raised:
        lines_of([log])
    assert raised.value.filename == str(log)


def test_a_packed_log_may_end_in_zeros(tmp_path: Path) -> None:
    line = f"{LINES['a zone that is none']}\n".encode()
    assert len(lines_of([packed(tmp_path, lzma.compress(line) + bytes(70_000))])) == 1


@pytest.mark.parametrize("by", PACK)
@pytest.mark.parametrize("after", [b"junk", bytes(70_000) + b"junk", b"\0\x1f"])
def test_junk_after_the_members_of_a_packed_log_is_left_out(
    by: str, after: bytes, tmp_path: Path
) -> None:
    member = PACK[by](f"{LINES['a zone that is none']}\n".encode())
    assert len(lines_of([packed(tmp_path, member + member + after)])) == 2


@pytest.mark.parametrize("by", ["gzip", "xz"])
def test_a_member_after_many_zeros_is_read(by: str, tmp_path: Path) -> None:
    member = PACK[by](f"{LINES['a zone that is none']}\n".encode())
    assert len(lines_of([packed(tmp_path, member + bytes(100_000) + member)])) == 2


def test_a_log_that_cannot_be_read_is_named() -> None:
    with pytest.raises(OSError, match="/proc/self/mem") as raised:
        lines_of([Path("/proc/self/mem")])
    assert raised.value.filename == "/proc/self/mem"


def test_a_packed_log_that_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    log = packed(tmp_path, lzma.compress(b"x", filters=BIG))
    with pytest.raises(OSError, match="too much memory"):
        lines_of([log])


@pytest.mark.parametrize(("start", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"PK\x03\x04", "zip")])
def test_a_log_of_another_packing_is_refused(start: bytes, name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"packed by {name}; unpack it first"):
        lines_of([packed(tmp_path, start + b"x" * 100)])
