"""What a run costs on this machine, before it is started: counted, and measured by playing its beginning."""

from gan_research.cost.costs import PARTS, Cost, Estimate, Evaluating
from gan_research.cost.estimate import estimate

__all__ = ["PARTS", "Cost", "Estimate", "Evaluating", "estimate"]
