"""`python -m relay`: the server on this machine, for development. In production: deploy/."""

import os

import uvicorn

from relay.app import from_environment


def main() -> None:
    uvicorn.run(from_environment(), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
