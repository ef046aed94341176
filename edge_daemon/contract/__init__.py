"""What crosses the border of the device: the model bundle (in) and the messages (out)."""
