"""Programs for a machine with a GPU; README.md explains their use."""
