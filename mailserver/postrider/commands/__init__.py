"""The commands of `postrider-server`, a module for each; they say and ask things at a terminal, `app` does the work."""
