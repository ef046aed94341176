"""The classifier: how it is trained, calibrated and measured."""
