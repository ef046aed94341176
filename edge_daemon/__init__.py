"""LeukoEdge on the device: camera -> detect -> classify -> MQTT. Never imports torch."""

__version__ = "0.1.0"
