from dataclasses import replace
from functools import cached_property
from itertools import chain, cycle
from pathlib import Path

from pydantic import Field
from pydantic.dataclasses import dataclass

from fake_vllm.engine.timing import Pace, Sampler
from fake_vllm.model import GenerationPlan, Recorded
from fake_vllm.response.recording import Recording, RecordingError
from fake_vllm.scenarios.base import STRICT, Scenario


@dataclass(frozen=True, config=STRICT)
class Replay(Scenario):
    """Replays `file`, which `fake-vllm record` wrote, with its times.

    It is `speed` (1) times as fast.
    """

    needs_model = True
    file: Path
    speed: float = Field(1.0, gt=0)

    def __post_init__(self) -> None:
        _ = self._recording  # a wrong file is reported when the scenario is parsed

    def shape(self, plan: GenerationPlan) -> GenerationPlan:
        texts = self._recording.texts
        return replace(
            plan,
            source=Recorded(tuple(texts)),
            eos_after=None if plan.eos_after is None else len(texts),
        )

    def pace(self, pace: Pace) -> Pace:
        first, *gaps = (gap / 1000 / self.speed for gap in self._recording.gaps_ms)
        return replace(pace, first_token=_always([first]), gap=_always([*gaps, 0.0]))

    @cached_property
    def _recording(self) -> Recording:
        try:
            return Recording.load(self.file)
        except RecordingError as error:
            raise ValueError(str(error)) from None


def _always(seconds: list[float]) -> Sampler:
    return lambda random: chain(seconds, cycle(seconds))
