"""What a name in the code probably is: a chain, a blocking or asynchronous client.

There is no type information. The value that a name was assigned from decides. Where no assignment
is in sight, the words of the name decide.
"""

import ast
import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from stream_lab.lint.module import Module


class Kind(Enum):
    """The kinds of value that the rules care about."""

    RUNNABLE = auto()
    """LangChain's: it has `invoke`, `stream`, `batch` and their asynchronous twins."""
    BOUNDED = auto()
    """`ChatVllm`: a RUNNABLE with a deadline, and a client for each loop."""
    SYNC_CLIENT = auto()
    """Its calls block."""
    ASYNC_CLIENT = auto()
    """Its connections belong to the loop that opened them."""
    OTHER = auto()
    """Something else, as far as the code shows."""


MODELS: Final = re.compile(r"^(Azure|BaseChat|Chat)[A-Z]\w*$|^init_chat_model$")
NOT_MODELS: Final = re.compile(
    r"(Prompt\w*|Message\w*|Template|History|Request|Response|Completion\w*|Memory|Config|Settings"
    r"|Input|Output|Chunk|Handler)$"
)
MAKERS: Final = frozenset(
    "AgentExecutor LLMChain ConversationChain RetrievalQA RunnableSequence RunnableLambda "
    "RunnableParallel create_agent create_react_agent create_retrieval_chain "
    "create_stuff_documents_chain".split()
)
TYPES: Final = frozenset(
    "BaseChatModel BaseLanguageModel Runnable RunnableSerializable CompiledStateGraph "
    "CompiledGraph Pregel".split()
)
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
        "anthropic.AsyncAnthropic",
        "httpx.AsyncClient",
        "httpx2.AsyncClient",
        "aiohttp.ClientSession",
    }
)
PASS_ON: Final = re.compile(r"^(bind|bind_tools|with_\w+|assign|pick|pipe|configurable_\w+)$")
"""Methods of a runnable that return another runnable."""
WORDS: Final = frozenset(
    {"chain", "model", "llm", "agent", "graph", "subgraph", "runnable", "chatmodel", "retriever"}
)


def kind(module: Module, expression: ast.AST, depth: int = 6) -> Kind | None:
    """Return the kind of an expression's value. None: nothing in sight tells."""
    if depth == 0:
        return None
    match expression:
        case ast.Await():
            return kind(module, expression.value, depth - 1)
        case ast.BinOp(op=ast.BitOr()):
            sides = {
                kind(module, expression.left, depth - 1),
                kind(module, expression.right, depth - 1),
            }
            return Kind.RUNNABLE if sides & {Kind.RUNNABLE, Kind.BOUNDED} else None
        case ast.Call():
            return _made(module, expression, depth)
        case ast.Name() | ast.Attribute():
            found = {
                kind(module, value, depth - 1) or Kind.OTHER
                for value in _values(module, expression)
            }
            if len(found) == 1:
                return found.pop()
            return Kind.OTHER if found else None
        case (
            ast.Dict()
            | ast.List()
            | ast.Tuple()
            | ast.Constant()
            | ast.JoinedStr()
            | ast.ListComp()
            | ast.DictComp()
        ):
            return Kind.OTHER
    return None


def _made(module: Module, call: ast.Call, depth: int) -> Kind | None:
    name = module.dotted(call.func)
    last = name.rpartition(".")[2]
    if last == "ChatVllm":
        return Kind.BOUNDED
    if name in SYNC_CLIENTS:
        return Kind.SYNC_CLIENT
    if name in ASYNC_CLIENTS:
        return Kind.ASYNC_CLIENT
    if last in MAKERS or (MODELS.match(last) and not NOT_MODELS.search(last)):
        return Kind.RUNNABLE
    if ".from_" in name and any(
        word in name for word in ("PromptTemplate.", "Chain.", "AgentExecutor.")
    ):
        return Kind.RUNNABLE
    if isinstance(call.func, ast.Attribute):
        if PASS_ON.match(call.func.attr):
            return kind(module, call.func.value, depth - 1)
        if call.func.attr == "compile" and module.uses("langgraph"):
            return Kind.RUNNABLE
    return None


def _values(module: Module, name: ast.Name | ast.Attribute) -> Sequence[ast.AST]:
    """Return what a name, or an attribute of `self`, was assigned from.

    The nearest scope that assigns it counts. A parameter's annotation counts as a call.
    """
    if isinstance(name, ast.Attribute):
        if not _is_own(name):
            return []
        inside = module.class_of(name)
        assigned = module.assigned.get(name.attr, [])
        return [
            value
            for target, value in assigned
            if _is_own(target) and module.class_of(target) is inside
        ]
    assigned = [
        (target, value)
        for target, value in module.assigned.get(name.id, [])
        if isinstance(target, ast.Name)
    ]
    for scope in (*module.functions(name), None):
        if found := [value for target, value in assigned if module.function(target) is scope]:
            return found
        if scope is not None:
            for argument in (*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs):
                if argument.arg == name.id:
                    return _annotated(argument.annotation)
    return []


def _is_own(target: ast.AST) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id in ("self", "cls")
    )


def _annotated(annotation: ast.expr | None) -> Sequence[ast.AST]:
    inner = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    last = (
        inner.id
        if isinstance(inner, ast.Name)
        else inner.attr
        if isinstance(inner, ast.Attribute)
        else ""
    )
    if last in TYPES or (MODELS.match(last) and not NOT_MODELS.search(last)):
        return [ast.Call(ast.Name("RunnableLambda"), [], [])]
    return []


def words(expression: ast.AST) -> set[str]:
    """Return the words of the name: {"rag", "chain"} for `self.rag_chain.with_config(…)`."""
    match expression:
        case ast.Name():
            name = expression.id
        case ast.Attribute():
            name = expression.attr
        case ast.Call(func=ast.Attribute() as func) if PASS_ON.match(func.attr):
            return words(func.value)
        case ast.BinOp(op=ast.BitOr()):
            return words(expression.left) | words(expression.right)
        case _:
            return set()
    return {piece.lower() for piece in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def is_runnable(module: Module, expression: ast.AST) -> bool:
    """Tell whether it is a LangChain runnable, by its origin, or else by its name."""
    found = kind(module, expression)
    return (
        bool(words(expression) & WORDS) if found is None else found in (Kind.RUNNABLE, Kind.BOUNDED)
    )
