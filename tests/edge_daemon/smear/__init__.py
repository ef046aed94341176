"""Tests of the virtual blood smear."""
