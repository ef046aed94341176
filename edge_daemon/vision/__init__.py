"""What is in a frame: quality, detection, crops, classification, registration, slide counts."""
