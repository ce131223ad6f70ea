"""Backups of a data directory: taken while the server runs, verified, restored into a new one."""
