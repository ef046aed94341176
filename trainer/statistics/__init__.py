"""Honest figures for a classifier: what it ranks, how sure it may be, and by patient.

Cells of one patient are not independent, so every interval comes from a bootstrap over **groups**,
not over cells; the area of the cell alone is reported beside the network, because in C-NMC size
alone ranks blasts well. No patient-level claim follows from cell-level figures.
"""
