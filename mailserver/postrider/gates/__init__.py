"""Decisions taken while SMTP is talking: who may connect, send and be written to."""
