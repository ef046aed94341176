"""A bundle, or the daemon, brought to many devices, wave by wave, judged, and taken back."""
