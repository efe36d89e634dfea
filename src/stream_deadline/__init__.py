"""The remedy: a chat model whose `timeout` bounds the whole call, and the same deadline for any other stream.

from stream_deadline import ChatVllm

model = ChatVllm(model="my-model", base_url="http://gpu:8000/v1", timeout=45)
"""

from stream_deadline.bounded import BoundedStream, bounded
from stream_deadline.bounded_sync import BoundedIterator, bounded_sync
from stream_deadline.budget import Deadline, deadline, no_deadline
from stream_deadline.chat_vllm import ChatVllm
from stream_deadline.errors import AnswerCutShort, StreamDeadlineExceeded
from stream_deadline.headers import apass_deadline_on, deadline_headers, pass_deadline_on

__all__ = [
    "AnswerCutShort",
    "BoundedIterator",
    "BoundedStream",
    "ChatVllm",
    "Deadline",
    "StreamDeadlineExceeded",
    "apass_deadline_on",
    "bounded",
    "bounded_sync",
    "deadline",
    "deadline_headers",
    "no_deadline",
    "pass_deadline_on",
]
