"""Mistakes that web handlers make with their streams."""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from stream_lab.lint.inference import is_runnable
from stream_lab.lint.module import Function, Module, keyword, method
from stream_lab.lint.rule import Hit, Rule

ROUTES: Final = frozenset("get post put patch delete api_route route".split())
ASYNC_STREAMS: Final = frozenset("astream astream_events astream_log".split())


def is_route(module: Module, function: Function | None) -> bool:
    """Tell whether a function is a web handler, `@app.get("/…")`."""
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and method(decorator) in ROUTES and decorator.args:
            return True
    return False


def _is_stream(module: Module, expression: ast.expr) -> bool:
    if not isinstance(expression, ast.Call) or not isinstance(expression.func, ast.Attribute):
        return False
    return expression.func.attr in ASYNC_STREAMS or (
        expression.func.attr == "stream" and is_runnable(module, expression.func.value)
    )


def _collected(module: Module) -> Iterator[Hit]:
    if module.uses("stream_deadline.asgi"):
        return  # its middleware listens for the client, so collecting is a choice
    for comprehension in module.comprehensions:
        stream = comprehension.generators[0].iter
        above = module.parent.get(comprehension)
        joined = isinstance(above, ast.Call) and (
            method(above) == "join" or module.dotted(above.func) in ("list", "tuple", "set")
        )
        lazy = isinstance(comprehension, ast.GeneratorExp) and not joined
        if not lazy and _is_stream(module, stream) and _is_told_at_once(module, comprehension):
            yield Hit(comprehension)
    for call in module.all(ast.Call):
        taken = (
            call.args[0]
            if len(call.args) == 1 and module.dotted(call.func) in ("list", "tuple")
            else None
        )
        if taken is not None and _is_stream(module, taken) and _is_told_at_once(module, call):
            yield Hit(call)
    for loop in module.loops:
        if (
            _is_stream(module, loop.iter)
            and is_route(module, module.function(loop))
            and _only_collects(module, loop)
        ):
            yield Hit(loop)


def _is_told_at_once(module: Module, node: ast.AST) -> bool:
    """Tell whether a web handler collects, or a generator before its first `yield`."""
    function = module.function(node)
    if function is None or isinstance(function, ast.Lambda):
        return False
    if is_route(module, function):
        return True
    line = getattr(node, "end_lineno", 0)
    return any(each.lineno > line for each in module.inside(function, ast.Yield))


def _only_collects(module: Module, loop: ast.For | ast.AsyncFor) -> bool:
    """Tell whether a loop passes nothing on before its end."""
    for wait in module.inside(loop, ast.Await):
        if not any(parent is loop.iter for parent in module.above(wait)):
            return False
    if module.inside(loop, ast.Yield) or any(
        isinstance(each, ast.Break | ast.Return) for each in ast.walk(loop)
    ):
        return False
    collects = False
    for each in ast.walk(ast.Module(loop.body, [])):
        collects = collects or (
            isinstance(each, ast.Call) and method(each) in ("append", "extend", "write")
        )
        collects = collects or (
            isinstance(each, ast.AugAssign)
            and isinstance(each.op, ast.Add)
            and not isinstance(each.value, ast.Constant)
        )
    return collects


def _length_promised(module: Module) -> Iterator[Hit]:
    for call in module.all(ast.Call):
        last = module.dotted(call.func).rpartition(".")[2]
        media, headers = keyword(call, "media_type"), keyword(call, "headers")
        events = isinstance(media, ast.Constant) and str(media.value).startswith(
            "text/event-stream"
        )
        if last not in ("StreamingResponse", "EventSourceResponse") or not (
            events or last == "EventSourceResponse"
        ):
            continue
        for key in headers.keys if isinstance(headers, ast.Dict) else ():
            if isinstance(key, ast.Constant) and str(key.value).lower() == "content-length":
                yield Hit(key)


def _disconnect_hidden(modules: Sequence[Module]) -> Iterator[tuple[Module, Hit]]:
    hiding: dict[Path, tuple[Module, int]] = {}
    for module in modules:
        if (line := _hides(module)) and not module.is_test:
            hiding.setdefault(_application(module.path), (module, line))
    for module in modules:
        if module.is_test or (found := hiding.get(_application(module.path))) is None:
            continue
        where, line = found
        for call in module.all(ast.Call):
            if method(call) == "is_disconnected":
                yield (
                    module,
                    Hit(
                        call,
                        f"`is_disconnected()` behind the middleware of {where.path.name}:{line}",
                    ),
                )


def _hides(module: Module) -> int:
    """Return the line of a middleware that hides the client's disconnect. 0: there is none."""
    for each in module.all(ast.ClassDef):
        if any(module.dotted(base).endswith(".BaseHTTPMiddleware") for base in each.bases):
            return each.lineno
    for function in module.definitions:
        for decorator in function.decorator_list:
            if (
                isinstance(decorator, ast.Call)
                and method(decorator) == "middleware"
                and decorator.args
            ):
                kind = decorator.args[0]
                if isinstance(kind, ast.Constant) and kind.value == "http":
                    return decorator.lineno
    return 0


def _application(path: Path) -> Path:
    """Return the outermost package around a file, or its folder if there is none."""
    folder = path.resolve().parent
    while (folder / "__init__.py").exists() and (folder.parent / "__init__.py").exists():
        folder = folder.parent
    return folder


STREAM_COLLECTED: Final = Rule(
    id="stream-collected",
    says="The stream is collected before anything is sent: its reader sees nothing until the end, "
    "and the handler does not notice a client that disconnects.",
    example="",
    remedy="Return a `StreamingResponse` over `chain.astream(…)`. If the whole answer is meant, "
    "`ainvoke` says so, and `DeadlineMiddleware` notices the disconnect.",
    reason="Notebooks 09 and 10, section 1. The rule covers web handlers (`@app.post(…)`) and "
    "generators that yield only afterwards. Not in tests.",
    words=("astream", ".stream("),
    look=_collected,
    in_tests=False,
)
LENGTH_PROMISED: Final = Rule(
    id="length-promised",
    says="A stream of events declares its length: if it sends less, the client sees a broken body; "
    "if it sends more, the server raises.",
    example="",
    remedy="Leave out the `Content-Length` header.",
    reason="Notebook 10, section 2. The rule covers only `text/event-stream`; "
    "the length of a file is known.",
    words=("StreamingResponse", "EventSourceResponse"),
    look=_length_promised,
)
DISCONNECT_HIDDEN: Final = Rule(
    id="disconnect-hidden",
    says="{it} does not become true when the client disconnects: a `BaseHTTPMiddleware` keeps that "
    "from the handler.",
    example="`is_disconnected()`",
    remedy="Call `app.add_middleware(DeadlineMiddleware)` last, except for `CORSMiddleware`: it "
    "notices the disconnect first and ends the work. Or write the other middleware as plain ASGI.",
    reason='Notebook 09. `@app.middleware("http")` makes a `BaseHTTPMiddleware` too. '
    "The rule looks for both in the same package.",
    words=("is_disconnected", "BaseHTTPMiddleware", "middleware("),
    across=_disconnect_hidden,
)
