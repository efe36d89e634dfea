"""Server-Sent Events of another server, one by one."""

import re

END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n")
DATA = re.compile(rb"^data:(?! ?\[DONE\])", re.MULTILINE)


class EventSplitter:
    """A splitter of a stream into events, at blank lines.

    Attributes:
        rest: the bytes after the last complete event.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._searched = 0  # bytes of the rest that have no end of an event

    def feed(self, data: bytes) -> list[bytes]:
        """Return the events that are complete now, each with its blank line."""
        self.rest += data
        events, begin = [], 0
        for match in END.finditer(self.rest, self._searched):
            if match.end() == len(self.rest) and match[0].endswith(b"\r"):
                break  # the line feed may still come
            events.append(self.rest[begin : match.end()])
            begin = match.end()
        self.rest = self.rest[begin:]
        self._searched = max(0, len(self.rest) - 3)
        return events


def tokens_in(event: bytes) -> int:
    """Return 1 for an event with data; 0 for a comment and [DONE]."""
    return 1 if DATA.search(event.replace(b"\r", b"\n")) else 0
