"""What is done to a device over SSH, before it can help itself or when it no longer can."""
