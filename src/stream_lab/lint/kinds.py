"""The kinds of value that the rules care about, and the names that make them."""

import re
from enum import Enum, auto
from typing import Final


class Kind(Enum):
    """What a value is, as far as the code shows."""

    RUNNABLE = auto()
    """LangChain's: it has `invoke`, `stream`, `batch` and their asynchronous twins."""
    BOUNDED = auto()
    """A RUNNABLE with a deadline and a client for each loop: `ChatVllm`, and a chain over it."""
    INSTANT = auto()
    """A RUNNABLE that asks no server: a prompt, a parser."""
    SYNC_CLIENT = auto()
    """Its calls block."""
    ASYNC_CLIENT = auto()
    """Its connections belong to the loop that opened them."""
    POOL = auto()
    """A pool of threads: `submit` starts work that no time-out can stop."""
    THREAD = auto()
    """A `threading.Thread`; `join(timeout)` does not stop it."""
    OTHER = auto()
    """Something else."""


MODELS: Final = re.compile(r"^(Azure|BaseChat|Chat)[A-Z]\w*$|^init_chat_model$")
NOT_MODELS: Final = re.compile(
    r"(Prompt\w*|Message\w*|Template|History|Request|Response|Completion\w*|Memory|Config|Settings"
    r"|Input|Output|Chunk|Handler)$"
)
MAKERS: Final = frozenset(
    "AgentExecutor LLMChain ConversationChain RetrievalQA RunnableSequence RunnableLambda "
    "RunnableParallel RunnableWithFallbacks RunnableWithMessageHistory create_agent "
    "create_react_agent create_retrieval_chain create_stuff_documents_chain "
    "create_history_aware_retriever create_deep_agent create_supervisor create_swarm "
    "initialize_agent load_qa_chain load_summarize_chain".split()
)
LANGCHAIN_MAKERS: Final = re.compile(
    r"(LLM|Chain|AgentExecutor|Retriever)$|^(Azure)?OpenAI$|^Ollama(LLM)?$|^VLLM(OpenAI)?$"
    r"|^HuggingFace(Endpoint|Pipeline)$|^create_\w+(agent|chain|retriever)$|^StateGraph$"
)
"""Names that count only if they are imported from LangChain, as `langchain_ollama.OllamaLLM`."""
LANGCHAIN: Final = ("langchain", "langgraph", "deepagents")
INSTANTS: Final = re.compile(
    r"(PromptTemplate|OutputParser|MessagesPlaceholder|RunnablePassthrough)$"
)
TYPES: Final = frozenset(
    "BaseChatModel BaseLanguageModel BaseLLM LLM LanguageModelLike Runnable RunnableSerializable "
    "RunnableSequence BaseRetriever CompiledStateGraph CompiledGraph Pregel".split()
)
"""Types of annotations, and bases of classes."""
UNTYPED: Final = frozenset({"Any", "object", "T", "Callable", "Self"})
"""Annotations that say nothing."""
WRAPPERS: Final = frozenset({"Optional", "Annotated", "Final", "ClassVar", "Union", "Type"})
"""Annotations around another one."""
SYNC_CLIENTS: Final = frozenset(
    {
        "openai.OpenAI",
        "openai.AzureOpenAI",
        "openai.Client",
        "anthropic.Anthropic",
        "requests.Session",
        "httpx.Client",
        "httpx2.Client",
    }
)
ASYNC_CLIENTS: Final = frozenset(
    {
        "openai.AsyncOpenAI",
        "openai.AsyncAzureOpenAI",
        "openai.AsyncClient",
        "anthropic.AsyncAnthropic",
        "httpx.AsyncClient",
        "httpx2.AsyncClient",
        "aiohttp.ClientSession",
    }
)
BOUNDED: Final = frozenset({"ChatVllm", "bounded_model"})
POOLS: Final = frozenset(
    {"concurrent.futures.ThreadPoolExecutor", "concurrent.futures.thread.ThreadPoolExecutor"}
)
PASS_ON: Final = re.compile(r"^(bind|bind_tools|with_\w+|assign|pick|pipe|map|configurable_\w+)$")
"""Methods of a runnable that return another runnable."""
WORDS: Final = frozenset(
    {"chain", "model", "llm", "agent", "graph", "subgraph", "runnable", "chatmodel", "retriever"}
)
"""Words in the names that people give to runnables."""
