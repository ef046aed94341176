"""The exporter: graphs, golden set, bundles."""
