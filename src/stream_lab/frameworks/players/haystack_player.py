"""Haystack: a chat whose chunks go to a callback."""

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    generator = OpenAIChatGenerator(
        api_key=Secret.from_token(KEY),
        model=MODEL,
        api_base_url=cell.base_url,
        timeout=cell.natural(),
        streaming_callback=lambda chunk: None,
    )
    generator.warm_up()
    cell.bounded(generator.client)
    return lambda: generator.run([ChatMessage.from_user(QUESTION)])


play(prepare)
