"""Postrider without a cluster: the same World from YAML files, the same Desired in a directory and a child process."""
