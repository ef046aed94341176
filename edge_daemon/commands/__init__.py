"""What `leuko-edge` does, one module per command; heavy imports happen here, not in the CLI."""
