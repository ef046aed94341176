"""The broker that it writes, and what that refuses."""
