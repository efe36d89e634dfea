"""All targets, by name."""

from tests.fuzz import doctor, fake, files, headers, library
from tests.fuzz.target import Target

TARGETS: dict[str, "Target[object]"] = {
    each.name: each for room in (library, doctor, fake, headers, files) for each in room.TARGETS
}
