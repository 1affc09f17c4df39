"""A model over the images of a run: boxes, predictions, their score, and what the probes share of it."""
