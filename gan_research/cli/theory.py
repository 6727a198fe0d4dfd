"""`gan theory`: studies of the theory of GANs, with any loss, regularizer, schedule and optimizer."""

from collections.abc import Callable

from gan_research.cli.arguments import parse, slow_imports
from gan_research.config.compose import compose_train, groups, renamed_keys
from gan_research.utils.errors import UserError, did_you_mean

STUDIES = {
    "phases": ("phases", "Goodfellow 2014, figure 1, during training on a 1-D density: p_data, p_g, D, D*, z to x"),
    "losses": ("phases", "divergence, optimal value and descent of G for each loss, by its declared theory"),
    "optimum": (
        "optimum",
        "proposition 1: the optimal D, the value as a surface and as a saddle, E over z and p_g",
    ),
    "convergence": ("phases", "proposition 2 on finite states, and D's regret in training"),
    "saturation": ("saturation", "the generator's gradient against D(G(z)), for every loss, and measured in training"),
    "inner-steps": ("inner_steps", "k = 1, 2, 5, 20 discriminator steps: regret of D, and JSD of p_g and p_data"),
    "dirac": ("dirac", "the Dirac-GAN: field, flow, steps, eigenvalues; --all: every loss with every regularizer"),
    "modes": ("modes", "samples on a ring or grid as a film, covered modes, high-quality share, reverse KL"),
    "conditioning": ("phases", "the equilibria of AC, TAC and ADC on tables of classes and states"),
    "augmentation": ("phases", "ADA's leak, and the optimal D under APA, label smoothing and instance noise"),
}  # the default experiment of each study, and a line of help

USAGE = """usage: gan theory STUDY [--config-dir DIR] [GROUP=CHOICE ...] [KEY=VALUE ...]

Each study writes numbers (JSON), a figure (PNG, SVG) and, for some, a film (GIF) into the folder of a run, and logs
them. It accepts the arguments of gan train: any loss, regularizer, schedule, optimizer.

  gan theory phases                               # takes less than a minute on a CPU
  gan theory phases loss=hinge optimizer.discriminator.lr=1e-3
  gan theory dirac loss=non_saturating regularizer=r1 regularizer.r1.weight=0.3
  gan theory dirac --all                          # which pairs converge
"""


def main(arguments: list[str]) -> int:
    """Run `gan theory` and return the exit status."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(USAGE)
        print("\n".join(f"  {name:<12} {line}" for name, (_, line) in STUDIES.items()))
        return 0
    if name not in STUDIES:
        raise UserError(f"there is no study '{name}': {did_you_mean(name, STUDIES)}")
    experiment, line = STUDIES[name]
    parsed = parse(rest, "gan theory", options=("--all",))
    if parsed.help:
        print(f"gan theory {name}: {line}\n\n{USAGE}")
        return 0
    if "--all" in parsed.options and name != "dirac":
        raise UserError("--all is an option of gan theory dirac only")
    if any(override.lstrip("+~").startswith("launcher") for override in parsed.overrides):
        raise UserError("gan theory has no launcher: its studies run in this process")
    if not parsed.sets("experiment"):
        parsed.overrides.insert(0, f"experiment={experiment}")
    parsed.overrides = renamed_keys(parsed.overrides)
    if name in groups()["analysis"] and not parsed.sets("analysis"):
        parsed.overrides.append(f"analysis={name}")
    composition = compose_train(parsed.overrides, parsed.config_dir)
    with slow_imports():
        from gan_research.cli import studies

    study: Callable[..., int] = getattr(studies, name.replace("-", "_"))
    return study(parsed, composition)
