"""AutoGen: a stream of its client for OpenAI's API."""

from autogen_core.models import UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient
from openai import DefaultAsyncHttpxClient
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play

ABILITIES = "vision function_calling json_output structured_output".split()


async def prepare(cell: Cell) -> Ask:
    client = OpenAIChatCompletionClient(
        model=MODEL,
        base_url=cell.base_url,
        api_key=KEY,
        timeout=cell.natural(),
        http_client=cell.bounded(DefaultAsyncHttpxClient()),
        model_info={"family": "unknown", **dict.fromkeys(ABILITIES, False)},
    )
    return lambda: client.create_stream([UserMessage(content=QUESTION, source="user")])


play(prepare)
