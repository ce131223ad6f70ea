"""The SQLite driver of the store: one handler per transaction type, and the reads of the fronts."""
