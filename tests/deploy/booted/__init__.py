"""A device as a whole: booted by a real systemd, and reached as a hospital reaches it."""
