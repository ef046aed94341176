"""Tests of training and of its figures."""
