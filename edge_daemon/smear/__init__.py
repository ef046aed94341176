"""The virtual blood smear: rendered cells, composited cells, a slide with known truth."""
