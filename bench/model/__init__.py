"""The whole model: built from a subject, from images to stages, from stages to predictions, its weights in files."""
