"""Samples from a generator: priors of its latents, the sampler, loading and exporting it."""
