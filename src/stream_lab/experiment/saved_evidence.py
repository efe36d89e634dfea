"""Evidence that was taken on another day, often on another machine, and is kept with the project in evidence/."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from stream_lab.experiment.attempts_run import Trial, Witnesses, told
from stream_lab.experiment.call import Call
from stream_lab.experiment.gpu import GpuSample
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.experiment.witness import Sample

FOLDER = Path(__file__).parents[3] / "evidence"


@dataclass(frozen=True)
class Kept:
    """What `stream-lab evidence` wrote down. taken: the day. server: what was asked, in words; empty if that was not told."""

    taken: date
    server: str
    witnesses: Witnesses
    trials: list[Trial]

    @property
    def title(self) -> str:
        outcome = str(told(self.trials)).capitalize()
        return f"{outcome}, on {self.taken}: {self.server or self.witnesses.kind}\n(witnesses: {self.witnesses.seen})"


def kept(folder: Path = FOLDER) -> list[Kept]:
    """All that is kept, the newest first; empty where there is no such folder."""
    found = [_read(file) for file in sorted(folder.glob("*/evidence.json"))]
    return sorted(found, key=lambda each: each.taken, reverse=True)


def _read(file: Path) -> Kept:
    body = json.loads(file.read_text(encoding="utf-8"))
    asked = body.get("server")
    return Kept(
        datetime.fromisoformat(body["taken"]).date(),
        f"{asked['program']} with {asked['model']} on {asked['device']}" if asked else "",
        Witnesses(**body["witnesses"]),
        [_trial(one, body["deadline"], body["witnesses"]["gpu"]) for one in body["trials"]],
    )


def _trial(one: dict[str, Any], deadline: float, gpu: str) -> Trial:
    recording = Recording(
        arrivals=one["first_and_last"],
        ending=Ending(one["ending"]),
        ended=one["ended"],
        error=one["error"],
        stood_still=one["stood_still"],
    )
    samples = [Sample(at, running, 0, tokens) for at, running, tokens in one["samples"]]
    return Trial(
        one["attempt"],
        one["way"],
        Call(recording, deadline, samples),
        [GpuSample(at, 0, gpu, *rest) for at, *rest in one["gpu_samples"]],
    )
