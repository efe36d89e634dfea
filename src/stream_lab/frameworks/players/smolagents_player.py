"""smolagents: a stream of a model."""

from openai import DefaultHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play
from smolagents import ChatMessage, MessageRole, OpenAIModel


def prepare(cell: Cell) -> Ask:
    model = OpenAIModel(
        MODEL,
        api_base=cell.base_url,
        api_key=KEY,
        client_kwargs={
            "timeout": cell.natural(),
            "http_client": cell.bounded(DefaultHttpxClient()),
        },
    )
    asked = [ChatMessage(MessageRole.USER, [{"type": "text", "text": QUESTION}])]
    return lambda: model.generate_stream(asked)


play(prepare)
