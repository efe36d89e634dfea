"""From an accepted request to bytes on the wire, as timed steps.

`generate` makes the tokens, `framing` puts HTTP around them, scenarios change both on the way, and `player` sends each step when it is due.
`fast_path` plays the tokens that need none of that. `context` holds what all of them share, `state` the states of a player.
"""
