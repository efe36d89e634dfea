"""ERP → AI → GPU: the three tiers of the incident as processes, the one in the middle broken or repaired."""

from stream_lab.relay.disconnect import leave
from stream_lab.relay.process import Caller, Relay

__all__ = ["Caller", "Relay", "leave"]
