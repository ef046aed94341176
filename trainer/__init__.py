"""Data to models to honest metrics, on a workstation. Imports torch; the device never does."""
