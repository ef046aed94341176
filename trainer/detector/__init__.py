"""The detector: how it is trained and measured."""
