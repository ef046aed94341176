"""How a database of the central side is opened: SQLite in a file, or PostgreSQL."""
