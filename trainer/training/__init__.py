"""What every training shares: the loop, the run folder, averaged weights, rates, ranks."""
