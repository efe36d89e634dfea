"""`python -m fake_vllm`, the same as `fake-vllm`."""

from fake_vllm.cli import main

if __name__ == "__main__":
    main()
