"""MIME: scanning with byte offsets, what IMAP tells about structure, and building our own mail. Pure."""
