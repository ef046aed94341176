"""One module per published layout of whole fields; each lists its frames without opening them."""
