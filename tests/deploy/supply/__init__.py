"""Bills of materials, and where they come from."""
