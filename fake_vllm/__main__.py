"""The command `fake-vllm`, also as a module: `python -m fake_vllm`."""


def run() -> None:
    """Run the command; Ctrl-C ends it quietly, also while its modules are loaded."""
    try:
        from fake_vllm.cli import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None  # the status that a shell shows for it


if __name__ == "__main__":
    run()
