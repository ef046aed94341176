"""What a bundle's networks cost on a Jetson at least: operations, bytes, time."""
