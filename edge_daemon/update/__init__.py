"""Updates from a repository that this device trusts: who made them, how they come, how they unpack.

Nothing that screens slides imports this room: whatever is wrong with a repository, blocked updates
are the worst that comes of it.
"""
