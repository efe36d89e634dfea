"""Play the drills: `python -m tests.drills [--only WORDS] [--plants] [--jobs N] [--write]`."""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.drills.judge import stood_still, whys
from tests.drills.play import Cell, Outcome, play
from tests.drills.table import DRILLS


def cells(only: list[str]) -> Iterator[Cell]:
    for drill in DRILLS:
        for style in drill.styles:
            for kind in drill.kinds:
                cell = Cell(drill, style, kind)
                if all(word in cell.name for word in only):
                    yield cell


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--plants", action="store_true")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()

    def run(cell: Cell) -> tuple[Cell, Outcome]:
        return cell, play(cell)

    bad = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for cell, outcome in pool.map(run, cells(options.only)):
            why = whys(cell, outcome)
            mark = "ok" if not why else "still" if stood_still(cell, outcome) else "BAD"
            bad += mark == "BAD"
            print(f"{mark:5} {cell.name:62} {outcome.error or 'whole'} {outcome.message[:110]!r} took={outcome.took:.2f} pieces={outcome.pieces} freed={outcome.freed} starts={outcome.starts} m={outcome.machine:.2f}", flush=True)
            for each in why:
                print("        ", each)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
