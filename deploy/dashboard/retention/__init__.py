"""What is deleted when its time is over, and the proof that it was."""
