"""Tests of what training reads and draws."""
