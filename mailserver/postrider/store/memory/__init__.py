"""The store in memory: for tests, and the plain statement of what every other implementation must do."""
