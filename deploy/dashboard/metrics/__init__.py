"""Figures for Prometheus: of the ingest, the devices and alerts, and of the application itself."""
