"""The frames of a scope as a page to step through, without JavaScript.

Radio buttons choose the frame. A viewer that removes style sheets, as JupyterLab does with output
that it does not trust, shows all frames below each other: colours are inline, and the buttons are
invisible without the style sheet.
"""

import hashlib
from collections.abc import Sequence
from html import escape

from stream_lab.experiment.frames import STATES, Frame, TaskLine
from stream_lab.experiment.scope import DONE, RUNNING, WAITING
from stream_lab.plots import EVENT, OK

_SIGNS = {RUNNING: "▶", WAITING: "○", DONE: "✓"}
_STYLE = """
.KEY{display:flex;flex-wrap:wrap;align-items:center}
.KEY>p{flex-basis:100%}
.KEY>input{display:inline-block!important;order:1;margin:2px 4px 6px 0}
.KEY>input:focus-visible{outline:2px solid #0072B2}
.KEY>section{display:none;order:2;flex-basis:100%}
.KEY>input:checked+section{display:block}
.KEY label{display:inline-block;cursor:pointer;border:1px solid #767676;border-radius:4px}
.KEY label{padding:1px 8px;margin-right:4px}
.KEY label.end{opacity:0.4;cursor:default}
.KEY label:first-of-type::before{content:"◀ previous"}
.KEY label:last-of-type::before{content:"next ▶"}
@media print{.KEY>section{display:block}.KEY label,.KEY>input{display:none!important}}
"""
_CARD = (
    "background-color:#ffffff;color:#000000;border:1px solid #cccccc;padding:10px;max-width:900px"
)
_CELL = (
    "background-color:#ffffff;color:#000000;text-align:left;vertical-align:top;"
    "padding:2px 16px 2px 0;border:0 none #ffffff"
)
_QUIET = "color:#555555"


def page(shown: Sequence[Frame], title: str) -> str:
    """Return the frames as HTML: the same bytes for the same frames and title."""
    known = "\n".join([title, *map(str, shown)])
    key = f"steps-{hashlib.sha256(known.encode()).hexdigest()[:8]}"
    names = ", ".join(f"{word} is {name}" for word, name in STATES.items() if word != name.lower())
    parts = [
        f'<div class="{key}" style="{_CARD}">',
        f"<style>{_STYLE.strip().replace('KEY', key)}</style>",
        f'<p style="margin:0 0 4px 0"><b>{escape(title)}</b></p>',
        f'<p style="margin:0 0 6px 0;{_QUIET}">▶ running, ○ waiting, ✓ done; '
        f"★ the task that the scope remembers, and cancels. In asyncio's source, {names}.</p>",
    ]
    for number, frame in enumerate(shown, 1):
        checked = " checked" if number == 1 else ""
        parts.append(
            f'<input type="radio" name="{key}" id="{key}-{number}"{checked} '
            f'aria-label="Step {number}" style="display:none">'
        )
        parts.append(f"<section>{_steps(key, number, len(shown))}")
        parts.append(f"{_frame(frame, number, len(shown))}</section>")
    return "\n".join([*parts, "</div>"])


def _steps(key: str, number: int, count: int) -> str:
    """Return the labels that lead to the neighbours; the style sheet has their words."""
    labels = []
    for words, to in (("previous step", number - 1), ("next step", number + 1)):
        there = min(max(to, 1), count)
        end = ' class="end"' if there != to else ""
        labels.append(f'<label for="{key}-{there}" title="{words}"{end}></label>')
    return "".join(labels)


def _frame(frame: Frame, number: int, count: int) -> str:
    line = ""
    if frame.line:
        method, _, code = frame.line.partition(": ")
        line = f"<br><code>Timeout.{escape(method)}: {escape(code)}</code>"
    timers = "<br>".join(map(escape, frame.timers)) or "none"
    tasks = "<br>".join(map(_task, frame.tasks))
    columns = (
        (frame.scope, _states(frame), "110px"),
        ("the loop's timers", timers, "270px"),
        ("the tasks", tasks, "440px"),
    )
    cells = "".join(
        f'<td style="{_CELL};width:{width}"><i style="{_QUIET}">{escape(name)}</i><br>{words}</td>'
        for name, words, width in columns
    )
    return (
        f'<p style="margin:6px 0 4px 0"><b>Step {number} of {count}.</b> '
        f"{escape(frame.what)}{line}</p>"
        '<table style="border-collapse:collapse;margin:0">'
        f'<tr style="background-color:#ffffff">{cells}</tr></table>'
    )


def _states(frame: Frame) -> str:
    words = []
    for name in STATES:
        if name == frame.state:
            style = f"background-color:{OK};color:#ffffff;border-radius:8px;padding:0 6px"
            words.append(f'<b style="{style}">● {name}</b>')
        elif name in frame.seen:
            words.append(f'<span style="padding:0 6px">• {name}</span>')
        else:
            words.append(f'<span style="{_QUIET};padding:0 6px">○ {name}</span>')
    return "<br>".join(words)


def _task(task: TaskLine) -> str:
    words = escape(f"{_SIGNS[task.doing]} {task.activity}")
    if task.pulls:
        words = f"<b>{words}</b>"
    if task.doing == DONE:
        words = f'<span style="{_QUIET}">{words}</span>'
    pending = task.count.replace(" ", "&nbsp;")
    count = f'<span style="color:{EVENT if task.cancelling else "#555555"}">, {pending}</span>'
    star = f'<br>&emsp;<span style="color:{EVENT}">{task.mark}</span>' if task.mark else ""
    return f"{words}{count if task.count else ''}{star}"
