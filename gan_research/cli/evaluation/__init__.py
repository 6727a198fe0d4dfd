"""What `gan evaluate` is made of: what is measured, against what, by which metrics, and how the numbers are shown."""
