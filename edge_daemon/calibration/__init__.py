"""What is known of one microscope: flat field, white balance, scale, focus and stain."""
