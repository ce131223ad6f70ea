"""Postrider's data plane: a whole mail server, complete without Kubernetes."""
