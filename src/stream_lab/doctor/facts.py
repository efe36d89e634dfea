"""The facts of a transcript, without a judgement."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median

from stream_lab.doctor.events import MARK, Event, Says, events_of
from stream_lab.doctor.probe import Transcript
from stream_lab.http.capture import Capture, End

TOGETHER = 0.004  # seconds; tokens within this time arrived in one piece


@dataclass(frozen=True)
class Facts:
    """The facts of one transcript. Times are seconds since the request was sent."""

    transcript: Transcript

    @cached_property
    def is_events(self) -> bool:
        body = self.transcript.body.removeprefix(MARK).lstrip()
        return self.transcript.content_type == "text/event-stream" or body.startswith(
            (b"data:", b"event:", b"id: ", b"retry: ")
        )

    @cached_property
    def events(self) -> list[Event]:
        """Return the events; for a stream of another kind, each piece as a token."""
        if self.is_events:
            return events_of(self.transcript.pieces, chat=self.transcript.target.chat)
        return [
            Event(at, Says.TOKEN, data.decode(errors="replace"))
            for at, data in self.transcript.pieces
            if data
        ]

    @property
    def in_tokens(self) -> Capture:
        """Return the same answer with one piece for each token, however the bytes arrived."""
        parts = [event for event in self.events if event.says in (Says.TOKEN, Says.FINISHED)]
        return replace(self.transcript, pieces=[(event.at, event.text.encode()) for event in parts])

    def at(self, *what: Says) -> list[float]:
        """Return the times of the events with one of these meanings."""
        return [event.at for event in self.events if event.says in what]

    @cached_property
    def tokens(self) -> list[float]:
        """Return the times of the tokens.

        The chunk with the finish reason counts, since the model made it, too.
        """
        return self.at(Says.TOKEN, Says.FINISHED)

    @cached_property
    def done(self) -> bool:
        return bool(self.at(Says.DONE))

    @cached_property
    def error(self) -> str:
        """Return the first error in the stream. Empty: there is none."""
        return next((event.text for event in self.events if event.says is Says.ERROR), "")

    @cached_property
    def faults(self) -> list[str]:
        """Return what breaks the protocol.

        An event that a cut has halved does not, nor an event that is still arriving.
        """
        found = (
            [f"not HTTP: {self.transcript.error}"] if self.transcript.ending is End.BROKEN else []
        )
        found += [event.text for event in self.events if event.says is Says.FAULT]
        for half in (event for event in self.events if event.says is Says.HALF):
            waits = self.transcript.ending is End.WATCHED and self.transcript.ended - half.at < max(
                1.5, 6 * self.gap
            )
            if not waits and self.transcript.ending not in (End.CLOSED, End.RESET):
                found.append(half.text)
        answers = {event.answer for event in self.events if event.answer}
        if len(answers) > 1:
            found.append(f"chunks of {len(answers)} answers in one stream")
        names = {event.model for event in self.events if event.model}
        if len(names) > 1:
            found.append(f"chunks of {len(names)} models in one stream")
        return found

    @property
    def cut_inside(self) -> bool:
        """Tell whether the connection ended inside an event."""
        return self.transcript.was_cut and bool(self.at(Says.HALF))

    @cached_property
    def finish_reason(self) -> str:
        return next((event.text for event in self.events if event.says is Says.FINISHED), "")

    @cached_property
    def clusters(self) -> list[list[float]]:
        """Return groups of tokens that arrived together."""
        found: list[list[float]] = []
        for at in self.tokens:
            if found and at - found[-1][-1] < TOGETHER:
                found[-1].append(at)
            else:
                found.append([at])
        return found

    @cached_property
    def gap(self) -> float:
        """Return the median seconds between two clusters. 0.0: there are fewer than two."""
        starts = [cluster[0] for cluster in self.clusters]
        return (
            median([later - earlier for earlier, later in pairwise(starts)])
            if len(starts) > 1
            else 0.0
        )

    @cached_property
    def longest_gap(self) -> float:
        return max((later - earlier for earlier, later in pairwise(self.tokens)), default=0.0)

    @cached_property
    def silence(self) -> float:
        """Return the seconds between the last byte and the end."""
        last = (
            self.transcript.pieces[-1][0]
            if self.transcript.pieces
            else self.transcript.head_at or 0.0
        )
        return self.transcript.ended - last

    @cached_property
    def without_tokens(self) -> float:
        """Return the seconds between the last token, or the request, and the end."""
        return self.transcript.ended - (self.tokens[-1] if self.tokens else 0.0)
