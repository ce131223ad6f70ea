"""The store: 250 means durable, an incremental client never misses a message, nothing accepted is lost."""
