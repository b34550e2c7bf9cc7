"""Full backups, copies of the binary logs, and where they are kept."""
