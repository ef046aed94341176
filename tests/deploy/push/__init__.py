"""Devices reached over SSH: real sshd on 127.0.0.1, a folder standing for each device's disk."""
