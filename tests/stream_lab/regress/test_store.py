"""Outputs: whole or not at all, in a folder or anywhere fsspec goes."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from stream_lab.regress.store import Store, StoreError, new_name


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_files_are_written_read_listed_and_replaced(kind: str, tmp_path: Path) -> None:
    place = Store(str(tmp_path / "out") if kind == "folder" else "memory://out-of-a-test")
    store = place.run("r1")
    store.write("cells/a/b.json", "1")
    store.write("cells/a/b.json", "2")
    store.write("run.json", "{}")
    assert store.read("cells/a/b.json") == "2"
    assert store.read("none") is None
    assert store.names("cells") == ["cells/a/b.json"]
    assert store.names("none") == []
    place.run("r0").write("run.json", "{}")
    place.run("half").write("other", "")
    assert place.runs() == ["r0", "r1"]
    assert Store("memory://nothing-here").runs() == []


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.write("a.json", "whole")

    def torn(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(
        StoreError, match="No space left on device; make room there, then go on with --resume"
    ):
        store.write("a.json", "another")
    assert store.read("a.json") == "whole"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_any_store_without_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "pipe_file", full)
    with pytest.raises(StoreError, match="make room"):
        Store("memory://full").write("x", "y")


@pytest.mark.parametrize(
    ("address", "why"), [("s3://bucket/runs", "s3fs"), ("nothing://x", "nothing")]
)
def test_an_address_that_needs_a_package_names_it(address: str, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        Store(address).runs()


class Unreachable(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A filesystem that asks a server as soon as it is made."""

    protocol = "unreachable"
    cachable = False

    def __init__(self, **_: object) -> None:
        raise OSError("No route to \x1b[2J host")


def test_a_store_that_cannot_be_reached_is_one_sentence_and_not_asked_before_it_is_used() -> None:
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    store = Store("unreachable://host/x").run("r1")
    with pytest.raises(StoreError) as raised:
        store.runs()
    assert str(raised.value) == (
        r"Outputs cannot go to unreachable://host/x/r1: No route to \x1b[2J host"
    )


@pytest.mark.parametrize("ask", [Store.runs, lambda store: store.names("cells")])
def test_a_store_that_is_lost_later_is_one_sentence(
    ask: Callable[[Store], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("No route to host")

    for name in ("ls", "find"):
        monkeypatch.setattr(type(fsspec.filesystem("memory")), name, lost)
    with pytest.raises(StoreError, match="memory://lost cannot be read: No route to host"):
        ask(Store("memory://lost"))


def refused(use: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as raised:
        use()
    text = str(raised.value)
    assert text.isprintable()
    return text


USES: dict[str, Callable[[Store], object]] = {
    "runs": Store.runs,
    "names": lambda store: store.names("cells"),
    "read": lambda store: store.read("run.json"),
    "write": lambda store: store.write("run.json", "{}"),
}
ERRORS = [EOFError(), ValueError("embedded null byte"), NotImplementedError(), KeyError("x")]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_any_error_of_a_filesystem_is_one_sentence(
    use: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise error

    for name in ("ls", "find", "cat_file", "pipe_file"):
        monkeypatch.setattr(type(fsspec.filesystem("memory")), name, lost)
    text = refused(lambda: USES[use](Store("memory://lost")))
    assert "memory://lost" in text
    assert str(error) in text or type(error).__name__ in text


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("memory://bob:hunter2secret@h/x", "memory://•••@h/x"),
        ("simplecache::memory://bob:hunter2secret@h/x", "•••@h/x"),
        ("memory://h/x?sig=hunter2secret", "memory://h/x?•••"),
    ],
)
def test_no_error_has_the_password_or_the_query_of_the_outputs(
    use: str, address: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OSError(f"{address}: no hunter2secret, hunter2sec")

    monkeypatch.setattr("fsspec.core.url_to_fs", lost)
    text = refused(lambda: USES[use](Store(address).run("r1")))
    assert "hunter2" not in text
    assert shown in text


@pytest.mark.parametrize("scheme", ["ftpx", "simplecache::ftpx"])
def test_an_unknown_kind_of_outputs_is_quoted_without_its_password(scheme: str) -> None:
    assert "hunter2" not in refused(lambda: Store(f"{scheme}://bob:hunter2secret@h/x"))


def test_a_local_folder_is_shown_as_it_is() -> None:
    assert Store("/home/me@home/a  b?/").shown == "/home/me@home/a  b?"


@pytest.mark.parametrize("kind", ["folder", "memory"])
def test_a_file_that_is_not_text_or_too_large_is_one_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path) if kind == "folder" else "memory://odd-files")
    store.write("text", b"\xff{}")
    store.write("large", b"x" * 11)
    store.write("small", b"x" * 10)
    monkeypatch.setattr("stream_lab.regress.store.LARGEST", 10)
    assert "/text cannot be read: it is not UTF-8." in refused(lambda: store.read("text"))
    assert "/large cannot be read: it is larger than" in refused(lambda: store.read("large"))
    assert store.read("small") == "x" * 10


def test_one_process_at_a_time_works_on_a_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "r1"))
    code = f"from stream_lab.regress.store import Store\nwith Store({str(tmp_path / 'r1')!r}).claimed(): pass"
    with store.claimed():
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
        assert "is being worked on by another process" in done.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_two_runs_in_one_second_have_two_names() -> None:
    assert len({new_name("2026-11-21T10-00-00") for _ in range(20)}) > 1
