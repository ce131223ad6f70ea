"""Who exists here and who may log in: look-ups over the snapshot, and logins with their delays."""
