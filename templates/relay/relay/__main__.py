"""`python -m relay`: the server on this machine, for development; on port 8080, or PORT. In production: deploy/."""

import os

import uvicorn

from relay.settings import Settings


def main() -> None:
    Settings.from_environment()  # says what is missing before the imports that take seconds
    uvicorn.run("relay.app:from_environment", factory=True, host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))


if __name__ == "__main__":
    main()
