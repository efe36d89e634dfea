"""Bytes and sockets: HTTP/1.1 over one connection, vLLM's headers, the listening process."""
