"""Calls that block the event loop, and with it every other stream of the process."""

import ast
from collections.abc import Iterator
from typing import Final

from stream_lab.lint.flow import is_read_here, runs_here, through_functions
from stream_lab.lint.inference import is_runnable, kind, words
from stream_lab.lint.kinds import Kind
from stream_lab.lint.module import Module, method, written
from stream_lab.lint.rule import Hit, Rule

BLOCKING: Final = frozenset(
    # OpenAI before its version 1
    "openai.ChatCompletion.create openai.Completion.create openai.Embedding.create "
    "openai.Image.create "
    "time.sleep urllib.request.urlopen subprocess.run subprocess.call subprocess.check_call "
    "subprocess.check_output os.system".split()
)
REQUESTS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "request")
SYNCHRONOUS: Final = BLOCKING | {
    f"{package}.{verb}" for package in ("requests", "httpx", "httpx2") for verb in REQUESTS
}
TWINS: Final = frozenset({"invoke", "batch", "stream"})
LAZY: Final = frozenset({"stream", "batch_as_completed"})
"""Methods that return an iterator: they block where it is read."""
LEGACY: Final = frozenset({"run", "predict", "predict_messages", "get_relevant_documents"})
"""Methods of old chains. Other things have methods of these names, so the kind must be known."""
CALLED: Final = TWINS | LAZY | LEGACY
HANDS_ON: Final = frozenset(
    "asyncio.create_task asyncio.ensure_future asyncio.gather asyncio.wait_for asyncio.shield "
    "asyncio.wait".split()
)
SENDS: Final = frozenset(
    "create parse stream generate retrieve get post put patch delete request send".split()
)
BLOCKING_NAMES: Final = SENDS | {name.rpartition(".")[2] for name in SYNCHRONOUS}


def blocks(module: Module, call: ast.Call) -> str:
    """Return the blocking call, for a sentence. Empty: it does not surely block."""
    name = module.dotted(call.func)
    if name in SYNCHRONOUS:
        return f"`{name}(…)`"
    if isinstance(call.func, ast.Attribute) and call.func.attr in SENDS:
        base: ast.expr = call.func.value
        while isinstance(base, ast.Attribute) and kind(module, base) is None:
            base = base.value
        if kind(module, base) is Kind.SYNC_CLIENT and not _is_awaited(module, call):
            return f"{written(call.func)}"
    return ""


def invokes(module: Module, call: ast.Call) -> str:
    """Return a runnable's synchronous call, for a sentence. Empty: it is not surely one."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in CALLED:
        return ""
    name, receiver = call.func.attr, call.func.value
    if not is_runnable(module, receiver) or _is_awaited(module, call):
        return ""
    if name in LAZY and not is_read_here(module, call):
        return ""
    if kind(module, receiver) is None:
        # Only the name says so. Many things have a `stream` or a `batch`, so a receiver with an
        # everyday name counts only in a module that imports LangChain.
        sure = name == "invoke" or not words(receiver).isdisjoint(("chain", "llm", "runnable"))
        if name in LEGACY or not (sure or module.uses("langchain", "langgraph", "stream_deadline")):
            return ""
    return written(call.func)


def _is_awaited(module: Module, call: ast.Call) -> bool:
    """Tell whether the call returns an awaitable, as other libraries' methods of that name do."""
    above = module.parent.get(call)
    if isinstance(above, ast.Assign) and isinstance(above.targets[0], ast.Name):
        waited: list[ast.expr] = [each.iter for each in module.all(ast.AsyncFor)] + [
            each.value for each in module.all(ast.Await)
        ]
        name, function = above.targets[0].id, module.function(call)
        if any(
            isinstance(each, ast.Name) and each.id == name and module.function(each) is function
            for each in waited
        ):
            return True
    for parent in module.above(call):
        if isinstance(
            parent, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.comprehension | ast.withitem
        ):
            if isinstance(parent, ast.withitem):
                return isinstance(module.parent[parent], ast.AsyncWith)
            return not isinstance(parent, ast.comprehension) or bool(parent.is_async)
        if isinstance(parent, ast.Call):
            return module.dotted(parent.func) in HANDS_ON or method(parent) == "create_task"
        if not isinstance(
            parent, ast.Starred | ast.List | ast.Tuple | ast.ListComp | ast.GeneratorExp
        ):
            return False
    return False


def _invoke(module: Module) -> Iterator[Hit]:
    for name in CALLED:
        for call in module.calls.get(name, []):
            if _is_in_async(module, call) and (it := invokes(module, call)):
                yield Hit(call, it)
    for call, it in through_functions(module, CALLED, invokes, generators=False):
        if not _is_awaited(module, call):
            yield Hit(call, it)


def _blocking(module: Module) -> Iterator[Hit]:
    names = BLOCKING_NAMES | {
        local for local, full in module.imports.items() if full in SYNCHRONOUS
    }
    for name in names:
        for call in module.calls.get(name, []):
            if (
                _is_in_async(module, call)
                and (it := blocks(module, call))
                and not is_callback(module, module.function(call))
            ):
                yield Hit(call, it)
    for call, it in through_functions(module, names, blocks, generators=True):
        yield Hit(call, it)


def _is_in_async(module: Module, call: ast.Call) -> bool:
    return isinstance(module.function(call), ast.AsyncFunctionDef) and runs_here(module, call)


def handlers(module: Module) -> Iterator[ast.ClassDef]:
    """Yield the classes that handle LangChain's callbacks."""
    for each in module.all(ast.ClassDef):
        if any(
            module.dotted(base).endswith(("CallbackHandler", "AsyncIteratorCallback"))
            for base in each.bases
        ):
            yield each


def is_callback(module: Module, function: ast.AST | None) -> bool:
    """Tell whether LangChain calls this function while a stream flows."""
    above = module.parent.get(function) if function is not None else None
    return (
        isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and function.name.startswith("on_")
        and isinstance(above, ast.ClassDef)
        and any(each is above for each in handlers(module))
    )


def _in_callbacks(module: Module) -> Iterator[Hit]:
    for call in module.all(ast.Call):
        function = module.function(call)
        if function is None or not is_callback(module, function):
            continue
        assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(function, ast.FunctionDef) and function.name != "on_llm_new_token":
            continue  # runs in a thread, once or twice for each answer
        if it := blocks(module, call):
            yield Hit(call, it)


INVOKE_IN_ASYNC: Final = Rule(
    id="invoke-in-async",
    says="{it} blocks the event loop until the whole answer is there: "
    "every other stream of this process stands still in the meantime.",
    example="`chain.invoke`",
    remedy="`await` the asynchronous twin (`ainvoke`, `abatch`, `astream`), "
    "or run it in a thread: `await asyncio.to_thread(…)`.",
    reason="An event loop has one thread. The rule follows a name to what LangChain made, here or "
    "in another file of the look; only where it cannot, names like chain, model, llm, agent and "
    "graph count. It follows calls of functions in the same file. `StreamingResponse` and "
    "others read a synchronous iterator in a thread. Not in tests.",
    words=("async def",),
    more_words=(".invoke", ".batch", ".stream", "langchain"),
    look=_invoke,
    in_tests=False,
)
BLOCKING_IN_ASYNC: Final = Rule(
    id="blocking-in-async",
    says="{it} blocks the event loop: every stream of this process stands still until it returns, "
    "and no time-out fires on time.",
    example="`time.sleep(…)`",
    remedy="`await asyncio.sleep(…)`, an asynchronous client (`AsyncOpenAI`, `httpx.AsyncClient`), "
    "or `await asyncio.to_thread(…)`.",
    reason="An event loop has one thread. The rule covers sleeps, requests, sub-processes and "
    "synchronous clients of OpenAI, Anthropic and httpx, but not file access; also in a generator "
    "that the function reads. Not in tests.",
    words=("async def",),
    look=_blocking,
    in_tests=False,
)
CALLBACK_BLOCKS: Final = Rule(
    id="callback-blocks",
    says="{it} delays the stream: LangChain waits for each callback before it passes on the next "
    "chunk.",
    example="`requests.post(…)`",
    remedy="Put the event into a queue and let a thread do the rest, "
    "as `SafeHandler` does in the project that `stream-lab new-relay` writes.",
    reason="An asynchronous callback blocks the event loop as well. A synchronous one runs in a "
    "thread, so only the one that runs for each token is checked.",
    words=("CallbackHandler",),
    look=_in_callbacks,
    in_tests=False,
)
