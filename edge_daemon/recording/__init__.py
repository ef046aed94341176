"""A session written down, frames and decisions, and read back to be gone through again."""
