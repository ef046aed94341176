"""Bundles: from run folders to a draft, from a draft to a folder, and two of them compared."""
