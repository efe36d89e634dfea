"""ERP → AI → GPU: the three tiers of the incident as processes, the one in the middle broken or repaired."""

from stream_lab.relay.leaving import Leaving, leave, watched
from stream_lab.relay.process import Caller, Relay

__all__ = ["Caller", "Leaving", "Relay", "leave", "watched"]
