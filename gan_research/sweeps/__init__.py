"""Many runs: which are played, where, and what came of each."""
