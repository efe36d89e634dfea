"""Play all drills, and each again with a defect planted: `python -m tests.drills`."""

import argparse
import sys
import time

from tests.drills.page import write
from tests.drills.run import (
    FAILS,
    HOLDS,
    JOBS,
    STILL,
    Drilled,
    Result,
    cells,
    name_of,
    planted,
    programs,
    run,
    show_red,
)

MARKS = {HOLDS: "✔", STILL: "?", FAILS: "✘"}


def main() -> int:
    """Return 0 if every drill holds, and every planted defect is seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument(
        "--only", metavar="WORDS", action="append", default=[], help="drills whose names have these"
    )
    parser.add_argument("--no-plants", action="store_true", help="plant no defects")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"at a time (default: {JOBS})")
    options = parser.parse_args()
    began = time.monotonic()
    drills: list[Drilled] = [*cells(only=options.only), *programs(only=options.only)]
    if not drills:
        sys.exit(f"No drill's name has {' and '.join(options.only)}.")

    def note(result: Result[Drilled]) -> None:
        if result.mark != HOLDS or options.only:
            print(
                f"{MARKS[result.mark]} {name_of(result.drill)}",
                *result.why,
                sep="\n    ",
                flush=True,
            )

    results = run(drills, note, options.jobs)
    failed = sum(result.mark == FAILS for result in results)
    unknown = sum(result.mark == STILL for result in results)
    shown: dict[str, list[str]] = {}
    if not options.no_plants:
        chosen = [each for drill in drills if (each := planted(drill)) is not None]
        for (drill, plant), why in show_red(chosen, options.jobs):
            shown[f"{name_of(drill)} | {plant}"] = why
            if not why:
                print(f"✘ {name_of(drill)}: holds with the defect '{plant}' planted", flush=True)
    unseen = sum(not why for why in shown.values())
    seconds = time.monotonic() - began
    print(
        f"{len(results)} drills: {len(results) - failed - unknown} hold, {failed} do not, "
        f"{unknown} not shown, since the machine stood still. "
        f"{len(shown) - unseen} of {len(shown)} planted defects were seen. {seconds:.0f} s."
    )
    if not options.only and not options.no_plants:
        write(results, shown, seconds)
    return int(bool(failed or unseen or unknown))


if __name__ == "__main__":
    sys.exit(main())
