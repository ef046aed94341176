"""Tests of a candidate bundle that looks on."""
