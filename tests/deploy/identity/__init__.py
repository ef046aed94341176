"""The laboratory's own authority, and who is enrolled with it."""
