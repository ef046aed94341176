"""Tests of the sources: one contract for all, and each by itself."""
