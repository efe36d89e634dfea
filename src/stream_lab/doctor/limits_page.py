"""The page of known limits, docs/limits.md; `python -m` this module prints it."""

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
# Which layer cuts, and after how long

This page is made from [limits.yaml](../src/stream_lab/doctor/limits.yaml) by
`python -m stream_lab.doctor.limits_page > docs/limits.md`. Edit that file and not this page.
Where a default could be run, `python tools/measure_limits.py` ran it, and the row names the
version. The other rows name their source. Most defaults can be changed where the product runs, so a
cut after another time does not rule the product out.

What a limit bounds: *connect*, the attempt to connect; *request*, the time that a request takes
to arrive; *first byte*, the time from the request to the first byte of the answer; *idle*, the time
from one byte to the next; *total*, the time from the start of the request to the end of the answer;
*heartbeat*, the time from one sign of life of a process to the next, even while its requests do
nothing; *keep-alive*, the time from the end of an answer to the next request; *shutdown*, the time
from the order to stop to the end of the streams that still run. *Buffer* is not a time: the product
holds bytes back.

*None*: there is no such limit until it is set. A dash: there is no message, or the documentation
does not give it.
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
            f"## {heading}\n\n"
            "| product | setting | default | bounds | message | source |\n"
            "|---|---|---|---|---|---|"
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
