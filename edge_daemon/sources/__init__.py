"""Where frames come from: one Protocol, many small implementations."""
