"""Running a server: the snapshot it obeys, and later its janitor and backups."""
