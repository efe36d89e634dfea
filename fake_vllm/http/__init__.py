"""Bytes and sockets: HTTP/1.1 over one connection, vLLM's headers, and the process that listens."""
