"""A fake vLLM server that misbehaves on request.

It imports neither `stream_lab` nor `stream_deadline`, and runs in its own process, as a real vLLM
does. Start it with `fake-vllm`, or in your own tests with `fake_vllm.testing`.
"""

__version__ = "0.1.0"
