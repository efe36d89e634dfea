from dataclasses import replace
from itertools import chain, cycle
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.timing import Pace, Sampler
from fake_vllm.files import Files
from fake_vllm.model import GenerationPlan, Recorded
from fake_vllm.response.recording import Recording, RecordingError, is_exchange
from fake_vllm.scenarios.base import STRICT, Scenario

if TYPE_CHECKING:
    from fake_vllm.relay.call import Answers
    from fake_vllm.relay.recorded import RecordedExchange


@dataclass(frozen=True, config=STRICT)
class Replay(Scenario):
    """Replays `file`, from `fake-vllm record` or --record, with its times.

    It is `speed` (1) times as fast.
    """

    needs_model = True
    _recording: "ClassVar[Recording | RecordedExchange]"
    file: Path
    speed: float = Field(1.0, gt=0)

    def open(self, files: Files) -> None:
        try:
            if is_exchange(self.file, files):
                from fake_vllm.relay.recorded import load

                recording: Recording | RecordedExchange = load(self.file, files)
            else:
                recording = Recording.load(self.file, files)
        except RecordingError as error:
            raise ValueError(str(error)) from None
        object.__setattr__(self, "_recording", recording)

    @property
    def answers(self) -> "Answers | None":
        """Return the recording of a whole exchange. None: the model says the recorded text."""
        from fake_vllm.relay.recorded import OneRecording

        recording = self._recording
        return None if isinstance(recording, Recording) else OneRecording(recording, self.speed)

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        if not isinstance(self._recording, Recording):
            return plan
        texts = self._recording.texts
        return replace(
            plan,
            source=Recorded(tuple(texts)),
            eos_after=None if plan.eos_after is None else len(texts),
        )

    def pace(self, pace: Pace) -> Pace:
        if not isinstance(self._recording, Recording):
            return pace
        first, *gaps = (gap / 1000 / self.speed for gap in self._recording.gaps_ms)
        return replace(pace, first_token=_always([first]), gap=_always([*gaps, 0.0]))


def _always(seconds: list[float]) -> Sampler:
    return lambda random: chain(seconds, cycle(seconds))
