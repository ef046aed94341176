"""What keeps the daemon alive and visible."""
