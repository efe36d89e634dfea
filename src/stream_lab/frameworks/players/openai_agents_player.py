"""openai-agents: the events of a run."""

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner
from openai import AsyncOpenAI
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


async def prepare(cell: Cell) -> Ask:
    client = AsyncOpenAI(base_url=cell.base_url, api_key=KEY, timeout=cell.natural())
    model = OpenAIChatCompletionsModel(MODEL, cell.bounded(client))
    settings = ModelSettings(timeout=cell.timeout if cell.setting == "model" else None)
    agent = Agent("answerer", model=model, model_settings=settings)
    return lambda: Runner.run_streamed(agent, QUESTION).stream_events()


play(prepare)
