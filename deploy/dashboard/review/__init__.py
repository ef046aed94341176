"""What people decided about cells and slides: rows that are only ever added to, in one chain."""
