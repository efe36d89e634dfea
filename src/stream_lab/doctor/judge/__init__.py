"""From facts to a cause, for a stream and its repetitions at one layer.

`answer` judges answers that are not streams, `stream` a single stream, `cut` a stream that was cut
and repeated. The bands are wide, and the order of the checks matters: certain ones come first.
"""

from stream_lab.doctor.judge.answer import unanswered
from stream_lab.doctor.judge.cut import cut
from stream_lab.doctor.judge.stream import once

__all__ = ["cut", "once", "unanswered"]
