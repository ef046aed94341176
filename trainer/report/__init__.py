"""One page for a comparison of classifiers, for a pathologist and for an engineer.

A single HTML file that asks nobody for anything: styles inside, figures as inline SVG, pictures as
data. Every number in its tables stands in ``metrics.json`` beside it.
"""
