"""ERP → AI → GPU: the incident's three tiers, with a broken or repaired relay."""

from stream_lab.relay.disconnect import leave, leave_handler
from stream_lab.relay.process import Caller, Relay, Visitor

__all__ = ["Caller", "Relay", "Visitor", "leave", "leave_handler"]
