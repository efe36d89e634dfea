"""From an accepted request to bytes on the wire, as timed steps.

`generate` makes the tokens, `framing` puts HTTP around them, scenarios change both on the way, and
`player` sends each step when it is due. `fast_path` plays tokens that need no change. `context`
holds the shared parts, and `state` the states of a player.
"""
