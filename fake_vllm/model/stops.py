"""Stop strings, which hold text back as long as one could begin in it."""

from collections.abc import Sequence


class StopStrings:
    """A cut at the first stop string, as in vLLM.

    vLLM holds back one character less than the longest stop string has, whether or not these could
    begin one. It holds nothing back if the stop string stays in the text (`include`).

    Attributes:
        hit: the stop string that ended the text. None: none did.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = stops
        self._include = include
        longest = max(map(len, stops), default=1) - 1
        self._hold = 0 if include else longest
        self._look_back = longest
        self._held = ""
        self._said = ""  # the text shown last, as far as a stop string could have begun in it
        self.hit: str | None = None

    def feed(self, text: str, *, search: bool = True) -> None:
        """Add text; `search` is False for text so early that stop strings do not count."""
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
        """Return the text that may be shown now.

        After a stop string, that is all the text that is left.
        """
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
        """Return all text that is left, at the end."""
        rest, self._held = self._held, ""
        return rest
