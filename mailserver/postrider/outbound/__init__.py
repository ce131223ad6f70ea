"""Outbound: queue rows are claimed, sent, tried again, given up and reported; none is ever lost."""
