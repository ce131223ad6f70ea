"""Outbound: queue rows are claimed, sent, tried again, given up and reported; never lost, never sent twice by us."""
