"""A fast player for the tokens of one choice, without layers.

Most streams can use it after their first token.
"""

import math
from collections.abc import Callable, Generator, Iterator
from itertools import islice

from fake_vllm.api import quoted
from fake_vllm.engine.ledger import Entry
from fake_vllm.http.exchange import Exchange
from fake_vllm.model import Piece

AHEAD = 16  # pieces that are drawn together, which costs little more than drawing one
BATCH = 64  # the most events that a stream sends in one packet before others have their turn
FIRST_BATCH = 4
"""The most in its first packet, doubled from packet to packet, so that streams that begin at once
do not wait long for one another."""
CHUNK = b"%x\r\n%b%b%b\r\n"  # from a length, and the three parts of an event


class FastPath:
    """A player of tokens, until one differs or the client does not read.

    When it is over or closed, `ahead` has the tokens not sent, and `due` the time of the next one.
    """

    __slots__ = ("_ahead", "_frame", "_gaps", "_pieces", "due")

    def __init__(
        self,
        frame: tuple[bytes, bytes],
        pieces: Iterator[Piece],
        ahead: list[Piece],
        gaps: Iterator[float],
        due: float,
    ) -> None:
        """Take over a choice.

        Args:
            frame: the bytes before and after a token's text in its event.
            pieces: the source of the tokens.
            ahead: tokens that were drawn and must be sent first, the next one last.
            gaps: the seconds from one token to the next.
            due: when the next token is due (loop time in seconds).
        """
        self.due = due
        self._frame, self._pieces, self._ahead, self._gaps = frame, pieces, ahead, gaps

    def turns(
        self,
        exchange: Exchange,
        entry: Entry,
        made: Callable[[Entry, int], None],
        then: Callable[[float], float],
    ) -> Generator[float, float, None]:
        """Yield when the next turn is due, and receive the time at that turn.

        The first value is no turn. It is a generator so that no attribute is looked up for each
        token.

        Args:
            exchange: takes the events.
            entry: counts their bytes.
            made: receives the number of tokens made.
            then: the turn that follows when the fast path ends by itself.
        """
        before, after = self._frame
        frame, due, gaps, ahead = len(before) + len(after), self.due, self._gaps, self._ahead
        batch: list[bytes] = []
        most = FIRST_BATCH
        try:
            now = yield math.inf
            while True:
                while due > now:  # once, unless the response was woken needlessly
                    now = yield due
                if exchange.blocked:
                    break
                if not ahead:
                    ahead.extend(islice(self._pieces, AHEAD))
                    ahead.reverse()
                piece = ahead.pop()
                if piece.finish is not None or not piece.text:
                    ahead.append(piece)
                    break
                text = quoted(piece.text)
                data = CHUNK % (frame + len(text), before, text, after)
                due += next(gaps)
                if due > now and not batch:
                    entry.bytes += len(data)
                    exchange.write(data)
                    made(entry, 1)
                    continue
                batch.append(data)
                if due > now or len(batch) == most:
                    _send(batch, exchange, entry, made)
                    most = min(2 * most, BATCH)
                    now = yield due
        finally:
            self.due = due
        if batch:
            _send(batch, exchange, entry, made)
        yield then(now)


def _send(
    batch: list[bytes], exchange: Exchange, entry: Entry, made: Callable[[Entry, int], None]
) -> None:
    data = b"".join(batch)
    entry.bytes += len(data)
    exchange.write(data)
    made(entry, len(batch))
    batch.clear()
