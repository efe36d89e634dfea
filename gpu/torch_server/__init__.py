"""A server on PyTorch and transformers, with vLLM's wire format from `fake_vllm`.

Its tokens come from a real random-weight Qwen3.
"""
