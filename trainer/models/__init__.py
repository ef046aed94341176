"""The networks: detector and classifiers."""
