"""What happens to stored mail: the only writers of mail state, a session's view of a folder, and search."""
