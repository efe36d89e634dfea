"""The command `fake-vllm` as a module: `python -m fake_vllm`."""

from fake_vllm.cli import main

if __name__ == "__main__":
    main()
