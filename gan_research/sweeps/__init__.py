"""Many runs: which are played, where, and what came of each."""

from gan_research.sweeps.pool import Pool
from gan_research.sweeps.search import Grid, Proposal, Search, Task
from gan_research.sweeps.sweep import Sweep, new_folder
from gan_research.sweeps.trials import Seen, Trial, TrialRun
from gan_research.sweeps.worker import Worker

__all__ = ["Grid", "Pool", "Proposal", "Search", "Seen", "Sweep", "Task", "Trial", "TrialRun", "Worker", "new_folder"]
