"""The contract between operator and server: a snapshot of everything declared. The server owns the format."""
