"""Postrider's control plane: turns the users' YAML into a contract snapshot and running servers."""
