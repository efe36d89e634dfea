"""Search every artefact of every command for a key that a server demands.

`make canary` starts a server with an invented key, runs the commands with that key in
OPENAI_API_KEY and a home folder of its own, and searches what they printed and wrote: as it is, in
the spellings of JSON, HTML, addresses, base64, hexadecimal and UTF-16, and inside of gzip, zip and
base64. A command that ends in another status than it should, or whose key did not reach the server,
fails: it could have leaked nothing. The search shares no code with what hides keys.
`python tools/canary.py PATH …` searches what is there.
"""

import argparse
import base64
import gzip
import html
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

ROOT = Path(__file__).parent.parent
KEY = "sk-canary/7d2f+41c9a8e6b3=~ü"
"""Has what each spelling changes; not all of it is in a header, so only the first part is sent."""
SENT = KEY[:-2]


@dataclass(frozen=True)
class Command:
    """A command of the laboratory that has the key in its environment.

    Attributes:
        words: its arguments.
        calls: whether it sends the key to the server.
        judges: whether it may end with status 1, which says that a claim is not as told.
    """

    words: str
    calls: bool = True
    judges: bool = False


COMMANDS = (
    Command("doctor {url}"),
    Command("doctor {url} --json --html {out}/doctor.html --repeat 2"),
    Command("doctor {url} --direct {url} --logs {out}/access.log"),
    Command("evidence --base-url {url} --timeout 1 --out {out}/evidence"),
    Command("run --base-url {url} --timeout 1 --out {out}/runs {notebooks}", judges=True),
    Command("regress --config {out}/regress.yaml --only gpu"),
    Command("history {out}/history.sqlite --html {out}/trend.html", calls=False),
    Command("history {out}/history.sqlite --json", calls=False),
)
"""Those that send a key, or read what such a one left."""
WITHOUT_KEY = (
    "matrix",
    "lint",
    "servers",
    "frameworks",
    "progress",
    "new-relay",
    "real-vllm",
    "soak",
)
"""Those that start servers of their own, or none."""
IN_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
DEEPEST = 3
"""Containers inside of containers."""


def spelled(key: str) -> dict[str, bytes]:
    """Return how a key looks in each spelling, by the spelling's name."""
    data = key.encode()
    found = {
        "as it is": data,
        "JSON": json.dumps(key)[1:-1].encode(),
        "JSON, each character": "".join(f"\\u{ord(each):04x}" for each in key).encode(),
        "HTML": html.escape(key).encode(),
        "HTML, each character": "".join(f"&#{ord(each)};" for each in key).encode(),
        "percent": quote(key).encode(),
        "percent, slashes too": quote(key, safe="").encode(),
        "percent, plus": quote_plus(key).encode(),
        "percent, each byte": "".join(f"%{each:02x}" for each in data).encode(),
        "hexadecimal": data.hex().encode(),
        "Python": repr(key)[1:-1].encode(),
        "Python, bytes": repr(data)[2:-1].encode(),
        "UTF-16, little": key.encode("utf-16-le"),
        "UTF-16, big": key.encode("utf-16-be"),
        "UTF-32": key.encode("utf-32-le"),
        "backwards": data[::-1],
    }
    for before in range(3):  # three bytes are four letters, so there are three spellings inside
        letters = base64.b64encode(bytes(before) + data)
        inner = letters[4 if before else 0 : -4]
        found[f"base64, {before}"] = inner
        found[f"base64 for addresses, {before}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def found_in(data: bytes, key: str, deep: int = 0) -> list[str]:
    """Return the spellings in which some bytes hold a key, inside of containers too."""
    small = data.lower()
    names = [
        name
        for name, form in spelled(key).items()
        if form in data or (("percent" in name or name == "hexadecimal") and form.lower() in small)
    ]
    if deep < DEEPEST:
        for kind, inner in _contents(data):
            names += [f"{kind}: {name}" for name in found_in(inner, key, deep + 1)]
    return names


def _contents(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what is inside of a container, with its kind."""
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield "gzip", gzip.decompress(data)
    if data[:2] == b"PK":
        with (
            suppress(zipfile.BadZipFile, RuntimeError, zlib.error),
            zipfile.ZipFile(io.BytesIO(data)) as archive,
        ):
            for name in archive.namelist():
                yield "zip", archive.read(name)
    for run in IN_BASE64.findall(data):
        bare = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if len(bare) % 4 != 1:
            yield "base64", base64.b64decode(bare + b"=" * (-len(bare) % 4))


def search(paths: Iterable[Path], key: str) -> dict[Path, list[str]]:
    """Return the files that hold a key, each with the spellings."""
    files = [
        file
        for path in paths
        for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if file.is_file()
    ]
    found = {file: found_in(file.read_bytes(), key) for file in files}
    return {file: names for file, names in found.items() if names}


def main() -> None:
    """Search, and end with 1 if the key was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="search these, and run nothing")
    parser.add_argument("--key", default=SENT, help="the key to search for")
    parser.add_argument("--notebooks", type=Path, help="a folder of notebooks for run and regress")
    given = parser.parse_args()
    if given.paths:
        raise SystemExit(_report(search(given.paths, given.key), given.paths))
    with tempfile.TemporaryDirectory(prefix="canary-") as made:
        out = Path(made)
        failed = _run_all(out, given.notebooks)
        raise SystemExit(_report(search([out], SENT), [out]) or int(failed))


def _run_all(out: Path, notebooks: Path | None) -> bool:
    """Run the commands against a server that demands the key; return whether one failed."""
    from fake_vllm.testing import FakeVllm

    (out / "home").mkdir()
    failed = False
    with FakeVllm("finite", api_key=SENT, gap=0.01, access_log=out / "access.log") as server:
        folder = notebooks or ROOT / "notebooks"
        settings = {
            "endpoints": {"gpu": {"url": server.base_url}},
            "folder": str(folder),
            "notebooks": ["*"] if notebooks else ["01", "04"],
            "outputs": str(out / "regress"),
            "history": str(out / "history.sqlite"),
            "retries": 0,
        }
        (out / "regress.yaml").write_text(json.dumps(settings), encoding="utf-8")
        places = {
            "url": server.base_url,
            "out": out,
            "notebooks": f"--notebooks {folder}" if notebooks else "",
        }
        for number, command in enumerate(COMMANDS):
            words = [each.format(**places) for each in command.words.split()]
            words = [part for each in words for part in each.split()]
            began, before = time.monotonic(), len(server.requests)
            done = subprocess.run(
                [sys.executable, "-m", "stream_lab", *words],
                env={
                    **os.environ,
                    "HOME": str(out / "home"),
                    "OPENAI_API_KEY": SENT,
                    "OPENAI_LOG": "debug",
                },
                capture_output=True,
                check=False,
            )
            (out / f"printed-{number}.txt").write_bytes(done.stdout + done.stderr)
            took = time.monotonic() - began
            answered = sum(each.status == 200 for each in server.requests[before:])
            fault = wrong(command, done, answered)
            print(f"{'✘' if fault else '✔'} stream-lab {' '.join(words)}: {took:.0f} s{fault}")
            if fault:
                failed = True
                print(done.stderr.decode(errors="replace")[-2000:])
        (out / "ledger.txt").write_text(repr(server.requests), encoding="utf-8")
    return failed


def wrong(command: Command, done: "subprocess.CompletedProcess[bytes]", answered: int) -> str:
    """Return why a command has shown nothing, or nothing.

    Args:
        command: the command.
        done: how it ended.
        answered: how many of its requests were answered by the server, which demands the key.
    """
    if command.judges and b"Traceback (most recent call last)" in done.stderr:
        return "; it crashed"
    if done.returncode not in ((0, 1) if command.judges else (0,)):
        return f"; status {done.returncode}"
    if command.calls and not answered:
        return "; no request with the key was answered"
    return ""


def _report(found: dict[Path, list[str]], paths: list[Path]) -> int:
    for file, names in found.items():
        print(f"✘ {file}: {', '.join(names)}")
    count = sum(1 for path in paths for file in [path, *path.rglob("*")] if file.is_file())
    print(f"{len(found)} of {count} files hold the key.")
    return 1 if found else 0


if __name__ == "__main__":
    main()
