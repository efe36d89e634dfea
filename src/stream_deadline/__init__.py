"""The remedy: a chat model whose `timeout` bounds the whole stream, and not only each read of the socket.

from stream_deadline import ChatVllm

model = ChatVllm(model="my-model", base_url="http://gpu:8000/v1", timeout=45)
"""

from stream_deadline.chat_vllm import ChatVllm
from stream_deadline.errors import StreamDeadlineExceeded

__all__ = ["ChatVllm", "StreamDeadlineExceeded"]
