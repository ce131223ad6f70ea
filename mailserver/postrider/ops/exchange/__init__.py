"""Import and export: Maildir, mbox and EML into and out of the store, resumable, with flags, dates and folders."""
