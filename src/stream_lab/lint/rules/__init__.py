"""All rules. To add one, write a function and a `Rule`, and list it here."""

from typing import Final

from stream_lab.lint.rule import Rule
from stream_lab.lint.rules.blocking import BLOCKING_IN_ASYNC, CALLBACK_BLOCKS, INVOKE_IN_ASYNC
from stream_lab.lint.rules.callbacks import CALLBACK_CAN_CUT, CALLBACK_UNHEARD
from stream_lab.lint.rules.loops import CLIENT_ACROSS_LOOPS, NEST_ASYNCIO, RUN_IN_LOOP
from stream_lab.lint.rules.scopes import SCOPE_ACROSS_YIELD, TIMEOUT_PER_READ
from stream_lab.lint.rules.threads import THREAD_OUTLIVES_TIMEOUT
from stream_lab.lint.rules.web import DISCONNECT_HIDDEN, LENGTH_PROMISED, STREAM_COLLECTED

RULES: Final[tuple[Rule, ...]] = (
    SCOPE_ACROSS_YIELD,
    TIMEOUT_PER_READ,
    THREAD_OUTLIVES_TIMEOUT,
    RUN_IN_LOOP,
    NEST_ASYNCIO,
    CLIENT_ACROSS_LOOPS,
    INVOKE_IN_ASYNC,
    BLOCKING_IN_ASYNC,
    CALLBACK_BLOCKS,
    CALLBACK_CAN_CUT,
    CALLBACK_UNHEARD,
    STREAM_COLLECTED,
    LENGTH_PROMISED,
    DISCONNECT_HIDDEN,
)
