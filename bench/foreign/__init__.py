"""Weights of other people's frameworks: recognised, read without running anything, and renamed to our models' names."""
