"""A local page to look around in a generator: samples, truncation, interpolation, directions, real neighbours."""
