"""Every statistic against a known answer, another implementation, or both."""
