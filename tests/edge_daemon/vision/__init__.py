"""Tests of what is seen in a frame."""
