"""Keep what a run with the incident's versions has shown, for the notebooks' tables.

`make run WORLD=seed`, then `python tools/seed_world.py runs/TIME/verdicts.json`. Notebooks that did
not run keep what is there.
"""

import json
import sys
from pathlib import Path

KEPT = Path(__file__).parent.parent / "src" / "stream_lab" / "experiment" / "seed_world.json"


def findings(verdicts: str) -> dict[str, dict[str, str]]:
    """Return the findings of a run, by notebook and claim."""
    found = {}
    for result in json.loads(verdicts)["results"]:
        number = result["name"].partition("_")[0]
        found[number] = {claim["text"]: claim["found"] for claim in result["claims"]}
    return {number: claims for number, claims in found.items() if claims}


def main(arguments: list[str]) -> int:
    """Read the verdicts, write the kept file, and return the exit status."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    found = dict(
        sorted({**kept, **findings(Path(arguments[0]).read_text(encoding="utf-8"))}.items())
    )
    KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{sum(map(len, found.values()))} findings of {len(found)} notebooks")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
