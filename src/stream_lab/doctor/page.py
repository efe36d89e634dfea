"""The diagnosis as one self-contained HTML page, with a picture of the arrivals."""

import base64
from datetime import datetime

from stream_lab.doctor.examine import Examination
from stream_lab.http import pictures
from stream_lab.http.pages import render


def page(examination: Examination, url: str) -> str:
    """Return the page. Whatever a server sent is escaped and shown as text.

    Args:
        examination: the examination.
        url: the address, without secrets.
    """
    rows = {
        f"{layer or 'stream'}{f', {number}' if len(runs) > 1 else ''}": run.in_tokens
        for layer, runs in examination.runs.items()
        for number, run in enumerate(runs, 1)
        if run.transcript.status
    }
    picture = None
    if rows:
        drawn = pictures.answers(rows, title="When tokens came")
        picture = {"png": base64.b64encode(drawn.png()).decode(), "alt": drawn.alt}
    when = datetime.now().strftime("%Y-%m-%d %H:%M")
    return render(
        "stream_lab.doctor",
        "page.html.j2",
        diagnosis=examination.diagnosis,
        url=url,
        picture=picture,
        when=when,
    )
