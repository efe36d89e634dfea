"""Stop strings: text is held back as long as one could begin in it."""

from collections.abc import Sequence


class StopStrings:
    """Cuts a text at the first stop string, as vLLM does.

    vLLM holds back as many characters as the longest stop string has, less one, whether or not they could begin one; nothing is held
    back if the stop string is to stay in the text (`include`).
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = stops
        self._include = include
        longest = max(map(len, stops), default=1) - 1
        self._hold = 0 if include else longest
        self._look_back = longest
        self._held = ""
        self._said = ""  # what was shown last, as far as a stop string could have begun in it
        self.hit: str | None = None
        """The stop string that ended the text; None: none has."""

    def feed(self, text: str, *, search: bool = True) -> None:
        """Add text. `search`: False for text so early that a stop string in it does not count."""
        old = len(self._said) + len(self._held)
        self._held += text
        if not (search and text and self._stops):
            return
        whole = self._said + self._held
        hits = []
        for stop in self._stops:
            if (at := whole.find(stop, max(0, old - len(stop) + 1))) >= 0:
                hits.append((at + len(stop), at, stop))
        if not hits:
            return
        end, at, self.hit = min(hits, key=lambda one: one[0])
        cut = (end if self._include else at) - len(self._said)
        self._held = self._held[: max(cut, 0)]

    def take(self) -> str:
        """The text that may be shown now: all that is left once a stop string is complete."""
        if not self._stops:
            shown, self._held = self._held, ""
            return shown
        if self.hit is not None:
            return self.rest()
        cut = len(self._held) - self._hold
        if cut <= 0:
            return ""
        shown, self._held = self._held[:cut], self._held[cut:]
        if self._look_back:
            self._said = (self._said + shown)[-self._look_back :]
        return shown

    def rest(self) -> str:
        """All that is left, at the end of the text."""
        rest, self._held = self._held, ""
        return rest
