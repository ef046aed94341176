"""The central dashboard: every result of every device in one database, and the pages on it."""
