"""A real Kubernetes for the tests: built, started, played and cleaned up without leaving the machine."""
