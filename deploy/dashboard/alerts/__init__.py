"""Alerts: what people have to know at once, raised once, cleared where it is over, and told."""
