"""A vLLM that misbehaves on request: the patient in every experiment.

It stands alone: it imports neither the laboratory nor the remedy, and runs as a process of its own, as the real one does. Start it with
`fake-vllm`; in tests of your own, with `fake_vllm.testing`.
"""
