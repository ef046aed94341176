"""The report of a comparison: what it says, what it shows, and that it asks nobody for anything."""
