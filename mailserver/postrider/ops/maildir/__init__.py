"""The Maildirs that other programs see where bodies are files: shown as the database says, and what they drop taken."""
