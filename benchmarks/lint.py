"""The speed of the check of code: `python benchmarks/lint.py [FOLDER]`.

It reads a folder of Python as `check` does, or else the installed packages. It prints lines,
seconds of this process's CPU time and lines per second, and the time of parsing alone, which is the
floor.
"""

import argparse
import sysconfig
import time
from collections import Counter
from pathlib import Path

from stream_lab.lint import Finding, survey
from stream_lab.lint.files import find, read


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    folder: Path = parser.parse_args().folder

    started = time.process_time()
    for path in find([folder]):
        if not isinstance(path, Finding):
            read(path)
    parsing = time.process_time() - started

    started = time.process_time()
    result = survey([folder])
    whole = time.process_time() - started

    print("| files | lines | s, parsing alone | s, in all | lines/s | s for 100 000 lines |")
    print("|---|---|---|---|---|---|")
    rate = result.lines / whole
    print(
        f"| {result.files:,} | {result.lines:,} | {parsing:.1f} | {whole:.1f} | {rate:,.0f} | "
        f"{100_000 / rate:.1f} |"
    )
    print("\nfindings:", dict(Counter(each.rule for each in result.findings)))


if __name__ == "__main__":
    main()
