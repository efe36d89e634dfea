"""Evidence that `stream-lab evidence` writes; the project's evidence/ keeps some of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer

from stream_lab.data_folders import EVIDENCE, data_folder
from stream_lab.experiment.attempts_run import Trial, Witnesses, told
from stream_lab.experiment.call import Call
from stream_lab.experiment.evidence import Outcome
from stream_lab.experiment.gpu import GpuSample
from stream_lab.experiment.trace import Ending, Recording
from stream_lab.experiment.versions import imported
from stream_lab.experiment.witness import Sample

FILE = "evidence.json"
Moment = Annotated[
    datetime, PlainSerializer(lambda value: value.isoformat(timespec="seconds"), return_type=str)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Program(BaseModel):
    """The server, in the words of the program that started it; extra keys are versions."""

    model_config = ConfigDict(extra="allow", frozen=True)

    program: str
    model: str
    device: str

    @property
    def words(self) -> str:
        """Return program, model and device in a few words, for a title."""
        return f"{self.program} with {self.model} on {self.device}"


class SavedTrial(_Strict):
    """One trial as the file has it. Times are in seconds since the call.

    Attributes:
        samples: the server's metrics: time, requests running, tokens made.
        gpu_samples: the busiest GPU: time, percent busy, MiB, watts. None: the GPU does not say.
    """

    attempt: str
    way: str
    stream: str
    server: str
    gpu: str
    ending: Ending
    error: str
    stood_still: float
    ended: float
    chunks: int
    first_and_last: list[float]
    tokens_after_deadline: int
    samples: list[tuple[float, int, int]]
    gpu_samples: list[tuple[float, float | None, float | None, float | None]]

    @classmethod
    def of(cls, trial: Trial) -> Self:
        """Make the record of a trial."""
        call, recording = trial.call, trial.call.recording
        return cls(
            attempt=trial.attempt,
            way=trial.way,
            stream=str(call.verdict),
            server=str(call.server),
            gpu=trial.gpu_after,
            ending=recording.ending,
            error=recording.error,
            stood_still=round(recording.stood_still, 3),
            ended=round(recording.ended, 3),
            chunks=recording.chunks,
            first_and_last=[
                round(at, 3) for at in recording.arrivals[:1] + recording.arrivals[-1:]
            ],
            tokens_after_deadline=call.tokens_after_deadline,
            samples=[(round(s.at, 3), s.running, s.tokens) for s in call.samples],
            gpu_samples=[(round(s.at, 3), s.utilisation, s.memory, s.power) for s in trial.gpu],
        )

    def again(self, deadline: float, gpu: str) -> Trial:
        """Return the trial from its record; `gpu` is the name of the GPU."""
        recording = Recording(
            arrivals=self.first_and_last,
            ending=self.ending,
            ended=self.ended,
            error=self.error,
            stood_still=self.stood_still,
        )
        samples = [Sample(at, running, 0, tokens) for at, running, tokens in self.samples]
        seen = [GpuSample(at, 0, gpu, *rest) for at, *rest in self.gpu_samples]
        return Trial(self.attempt, self.way, Call(recording, deadline, samples), seen)


class SavedEvidence(_Strict):
    """The evidence file. It leaves out addresses, which readers do not need.

    Attributes:
        taken: when the evidence was taken.
        witnesses: the witnesses of the server's work.
        deadline: the deadline of each trial, in seconds. None: there was no trial.
        versions: versions by package.
        trials: the trials, in order.
        outcome: whether the trials went as the story says. None in files without this field.
        server: the program that was started. None: unknown.
    """

    taken: Moment
    witnesses: Witnesses
    deadline: float | None
    versions: dict[str, str]
    trials: list[SavedTrial]
    outcome: Outcome | None = None
    server: Program | None = None

    @classmethod
    def of(cls, trials: list[Trial], witnesses: Witnesses, outcome: Outcome | None = None) -> Self:
        """Make the record of some trials, with the time and the versions of this process."""
        return cls(
            taken=datetime.now(UTC),
            witnesses=witnesses,
            deadline=trials[0].call.deadline if trials else None,
            versions=imported(),
            trials=[SavedTrial.of(trial) for trial in trials],
            outcome=outcome,
        )

    @property
    def played(self) -> list[Trial]:
        """Return the trials, to judge and draw them again."""
        return [trial.again(self.deadline or 0.0, self.witnesses.gpu) for trial in self.trials]

    @property
    def title(self) -> str:
        """Return outcome, date and server, and on a second line the witnesses."""
        outcome = str(told(self.played)).capitalize()
        server = self.server.words if self.server else self.witnesses.kind
        return f"{outcome}, on {self.taken.date()}: {server}\n(witnesses: {self.witnesses.seen})"

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the file as a JSON object."""
        body = self.model_dump(mode="json")
        return {
            key: value
            for key, value in body.items()
            if key not in ("outcome", "server") or value is not None
        }

    def write(self, folder: Path) -> None:
        """Write the file into a folder."""
        (folder / FILE).write_text(
            json.dumps(self.as_dict(), ensure_ascii=False) + "\n", encoding="utf-8"
        )


def load_saved(folder: Path | None = None) -> list[SavedEvidence]:
    """Load all saved evidence, the newest first.

    Args:
        folder: contains a folder for each record; a missing folder has none. None: the project's
            own.

    Raises:
        DataError: the project's own evidence is missing from this installation.
    """
    place = data_folder(EVIDENCE) if folder is None else folder
    found = [
        SavedEvidence.model_validate_json(file.read_text(encoding="utf-8"))
        for file in sorted(place.glob(f"*/{FILE}"))
    ]
    return sorted(found, key=lambda each: each.taken, reverse=True)
