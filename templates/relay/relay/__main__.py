"""The server for development, on port 8080 or PORT: `python -m relay`.

For production, see deploy/.
"""

import os

import uvicorn

from relay.settings import Settings


def main() -> None:
    """Serve on this machine."""
    Settings.from_environment()  # names missing variables before the slow imports
    uvicorn.run(
        "relay.app:from_environment",
        factory=True,
        host="127.0.0.1",
        port=int(os.environ.get("PORT", "8080")),
    )


if __name__ == "__main__":
    main()
