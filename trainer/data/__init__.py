"""Importers, groups, splits and augmentation."""
