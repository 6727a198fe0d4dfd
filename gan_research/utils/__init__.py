"""Helpers for errors, files, images, figures, random numbers, signals and precision."""
