"""Which devices there are, what each shall run, what each says it runs, and when it was heard."""
