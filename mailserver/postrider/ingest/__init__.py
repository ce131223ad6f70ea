"""Ingest: the one way a message gets in. Seven stages, a table of who goes through which, seven short files."""
