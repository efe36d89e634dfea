"""A server that needs only PyTorch and transformers: vLLM's wire from `fake_vllm`, tokens from a real random-weight Qwen3."""
