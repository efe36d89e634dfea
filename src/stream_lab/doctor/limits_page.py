"""The known limits as a page: `python -m stream_lab.doctor.limits_page > docs/limits.md`."""

import sys
from urllib.parse import urlsplit

from stream_lab.doctor.limits import Bounds, Limit, Side, load

HEADINGS: dict[Side, str] = {
    "client": "Clients",
    "sdk": "SDKs on top of them",
    "proxy": "Proxies",
    "platform": "Platforms",
    "server": "Servers",
}

INTRODUCTION = """\
# Who cuts, and after how long

Made from [limits.yaml](../src/stream_lab/doctor/limits.yaml) by `python -m stream_lab.doctor.limits_page > docs/limits.md`; edit that file, not this
page. A default that could be run was run, by `python tools/measure_limits.py`, and says with which version; the others say where they were
read. Most of them can be changed where the product runs: a cut after another time proves nothing in its favour.

What a limit bounds: *connect*, the attempt to connect; *request*, the time that a request takes to arrive; *first byte*, the request to the
first byte of the answer; *idle*, one byte to the next; *total*, the start of the request to the end of the answer; *heartbeat*, one sign of
life of a process to the next, also while its requests do nothing; *keep-alive*, the end of an answer to the next request; *shutdown*, the order to stop
to the end of the streams that still run; *buffer* is not a time: bytes are kept back.

*None*: there is no such limit until it is set. A dash: nothing is said when it fires, or the documentation does not tell what.
"""


def page() -> str:
    """Return the known limits as Markdown, a table for each side."""
    limits = load()
    parts = [INTRODUCTION]
    for side, heading in HEADINGS.items():
        rows = [limit for limit in limits if limit.side == side]
        if not rows:
            continue
        parts.append(
            f"## {heading}\n\n| product | setting | default | bounds | when it fires | known from |\n|---|---|---|---|---|---|"
        )
        parts[-1] += "".join(f"\n{_row(limit)}" for limit in rows) + "\n"
        if notes := [
            f"- **{limit.name}** ({_words(limit.bounds)}): {limit.note}"
            for limit in rows
            if limit.note
        ]:
            parts.append("\n".join(notes) + "\n")
    return "\n".join(parts)


def _row(limit: Limit) -> str:
    default = "none" if limit.default is None else f"{limit.default:g} s"
    measured, source = limit.proof.measured, limit.proof.source
    if measured is not None:
        known = f"**measured**, {measured.version}, {measured.date}: {measured.how}"
    else:
        assert source is not None
        known = f"[{urlsplit(source.url).hostname}]({source.url}), {source.date}" + (
            f": “{source.quote}”" if source.quote else ""
        )
    setting = f"{limit.knob} ({limit.where})"
    cells = [limit.product, setting, default, _words(limit.bounds), limit.message or "—", known]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _words(bounds: Bounds) -> str:
    return {"first_byte": "first byte", "keep_alive": "keep-alive"}.get(bounds, bounds)


if __name__ == "__main__":
    sys.stdout.buffer.write(page().encode())
