"""The local HTTP interface: health, metrics, the operator's picture and page, commands."""
