"""What is written down of every slide and command, in the file of the outbox, under its commits."""
