"""The search index: a file of its own beside the store, written in the background, made anew at will."""
