"""What the machine says of itself: temperature, power, what holds it back, disk, memory, clock.

Everything is read from the files of the kernel, so that it works without root and without the
vendor's tools. What a machine does not tell is left out or null, never guessed.
"""
