"""CrewAI: a call of its LLM, which streams inside, or a task of an agent."""

from crewai import LLM, Agent, Task
from protocol import KEY, MODEL, QUESTION, Ask, Cell, play


def prepare(cell: Cell) -> Ask:
    model = LLM(
        f"openai/{MODEL}", base_url=cell.base_url, api_key=KEY, timeout=cell.natural(), stream=True
    )
    cell.bounded(model._client)  # it takes no client and has no public name for its own
    if cell.setting != "agent":
        return lambda: str(model.call(QUESTION))
    agent = Agent(
        role="answerer",
        goal="answer",
        backstory="You answer.",
        llm=model,
        max_iter=1,
        max_execution_time=int(cell.timeout),
    )
    return lambda: str(
        agent.execute_task(Task(description=QUESTION, expected_output="a word", agent=agent))
    )


play(prepare)
