"""LlamaIndex: a stream of a chat with `OpenAILike`."""

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from openai import DefaultHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    model = OpenAILike(
        model=MODEL,
        api_base=cell.base_url,
        api_key=KEY,
        is_chat_model=True,
        timeout=cell.natural(),
        http_client=cell.bounded(DefaultHttpxClient()),
    )
    return lambda: model.stream_chat([ChatMessage(QUESTION)])


play(prepare)
