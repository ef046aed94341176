"""A broker that lets in only who is enrolled, and each only to its own topics."""
