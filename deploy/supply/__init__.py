"""What a daemon and a bundle are made of, and under which licences."""
