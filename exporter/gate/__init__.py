"""The gate: what a precision is worth on held-out data, and whether it may ship."""
