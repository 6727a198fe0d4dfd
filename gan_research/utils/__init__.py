"""Helpers that know nothing of GANs: errors, files, images, figures, random numbers, signals, precision."""
