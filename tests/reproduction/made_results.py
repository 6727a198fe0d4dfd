"""Results as they might have come out."""

from gan_research.reproduction.result import Result, SeedResult

PROTOCOL = {"extractor": "modes", "num_fake": 2500, "ema": False, "batch_statistics": True}
BETTER = {"modes": "max", "reverse_kl": "min"}
PUBLISHED = {
    "_target_": "gan_research.reproduction.Published",
    "claim": "seven modes are found",
    "source": {"paper": "Somebody 2020, table 1"},
    "protocol": "2500 samples",
    "numbers": {"modes": {"value": 7.0, "spread": 0.25, "tolerance": 0.5}},
    "spread": "standard error over 10 trials",
    "tolerance": "two standard errors",
    "evaluation": {"num_fake": 2500, "ema": False},
}


def seed_result(seed, modes=None, **given):
    """A seed that finished with so many modes; without, one that diverged."""
    if modes is None:
        return SeedResult(seed, **{"state": "diverged", "reason": "round 7: loss is NaN"} | given)
    fields = {
        "state": "finished",
        "rounds": 100,
        "kimg": 6.4,
        "seconds": 90.0,
        "device": "a CPU",
        "commit": "0123456789abcdef",
        "torch": "2.9",
        "values": {"modes": modes},
        "protocol": PROTOCOL,
        "better": BETTER,
        "curves": {"modes": [[0, 0.0], [100, modes]]},
    }
    return SeedResult(seed, **fields | given)


def result(*modes, recipe="ring", published=None, seeds=None, **given):
    """A result of a recipe with 100 rounds, one seed for each number of modes."""
    fields = {
        "budget": "paper",
        "overrides": [],
        "command": f"gan reproduce {recipe} --seeds {len(modes)} --budget paper",
        "rounds": 100,
        "paper_rounds": 100,
        "changes": [],
    }
    found = [seed_result(i, m) for i, m in enumerate(modes)] if seeds is None else seeds
    return Result(recipe=recipe, published=PUBLISHED | (published or {}), seeds=found, **fields | given)
