"""Sockets and engines brought together: one driver, one service per protocol."""
