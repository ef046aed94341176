"""The registry: what devices say, kept and compared with what is desired."""
