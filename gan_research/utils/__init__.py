"""What knows nothing of GANs: errors, files, images, figures, randomness, signals, precision."""
