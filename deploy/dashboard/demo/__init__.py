"""``leuko-deploy dashboard demo``: the whole of it on one machine, with simulated microscopes."""
