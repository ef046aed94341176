"""Which parts of a cell's picture moved the classifier's verdict, computed here on demand."""
