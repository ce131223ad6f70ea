"""Running a server: the snapshot it obeys, janitor, quota warnings, Maildirs, backups, import, export, undelete."""
