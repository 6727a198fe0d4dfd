"""gan theory: every study from end to end, what it writes, and what it says where it can't."""

import contextlib
import itertools
import json
import math
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import yaml
from layout import faults
from PIL import Image
from quick import long_but
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_research.callbacks import SampleGrid
from gan_research.cli.studies import dynamics, games, values
from gan_research.cli.theory import STUDIES
from gan_research.config.build import make
from gan_research.config.compose import choice, groups
from gan_research.theory import analysis, phases
from gan_research.utils.run_folder import read_history

NETWORKS = ("generator.width=8", "discriminator.width=8", "batch_size=16", "log_every=5", "sample_every=1000")
SMALL = {
    "phases": (*NETWORKS, "metrics=none", "rounds=20", "analysis.phases.frames=4", "analysis.phases.bins=100"),
    "modes": (*NETWORKS, "metrics=none", "rounds=20", "analysis.modes.frames=4", "analysis.modes.num_samples=100"),
    "convergence": (*NETWORKS, "rounds=20", "analysis.phases.frames=4", "analysis.phases.bins=100"),
    "inner-steps": (*NETWORKS, "rounds=6", "analysis.phases.bins=100"),
    "dirac": ("rounds=200",),
    "optimum": ("rounds=60",),
}
FILMED = {"phases", "modes", "convergence", "dirac", "optimum"}


FAST = {"dirac": ("rounds=20",)}
LOGGED = {"phases", "optimum"}
ALL_LOGGERS = "[csv,tensorboard,wandb]"


@contextlib.contextmanager
def little_drawing():
    """Films of few frames, and no pictures of the samples: drawing is most of what a small study does."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((games, "film_convergence"), (dynamics, "film_dirac"), (values, "film_saddle")):
            patch.setattr(module, name, partial(getattr(module, name), frames=3))
        patch.setattr(SampleGrid, "act", lambda *_: None)
        yield patch


@contextlib.contextmanager
def no_drawing():
    """Figures are made, and not turned into pixels; films aren't."""

    def touch(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    with little_drawing() as patch:
        patch.setattr(analysis, "write_figure", lambda figure, stem: touch(stem.with_suffix(".png")))
        patch.setattr(analysis, "write_film", lambda film, path: touch(path))
        yield


def publish_part(watcher, *_):
    """What a training that is only a part of a study leaves, without its pictures."""
    watcher.folder.mkdir(parents=True)
    (watcher.folder / "phases.json").write_text(json.dumps(watcher.numbers(), allow_nan=False))


@pytest.fixture(scope="session")
def study(gan, the_run, tmp_path_factory):
    """study("dirac", "loss=hinge", ...): the output of a small one, its run's folder, its numbers."""
    known = {}

    def run(name, *overrides, drawn=True):
        key = (name, *overrides, drawn)
        if key not in known:
            output = tmp_path_factory.mktemp("theory")
            logger = ALL_LOGGERS if name in LOGGED and drawn else "none"
            with little_drawing() if drawn else no_drawing(), pytest.MonkeyPatch.context() as patch:
                if name != "phases":
                    patch.setattr(phases.Phases, "publish", publish_part)
                figures = []
                write = analysis.write_figure
                patch.setattr(
                    analysis, "write_figure", lambda figure, stem: figures.append(figure) or write(figure, stem)
                )
                result = gan("theory", name, f"output={output}", f"logger={logger}", *SMALL.get(name, ()), *overrides)
            assert result.status == 0, (key, result.error)
            folder = the_run(output)
            numbers = json.loads((folder / "theory" / f"{name}.json").read_text())
            known[key] = SimpleNamespace(**result._asdict(), folder=folder, numbers=numbers, figure=figures[-1])
        return known[key]

    return run


def leaves(value):
    """The numbers and words in a nest of containers."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


# --- each study ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("theory",), ("theory", "--help"), ("theory", "-h")])
def test_help_lists_every_study(arguments, gan):
    result = gan(*arguments)
    assert (result.status, result.error) == (0, "")
    lines = [line.strip() for line in result.output.splitlines()]
    for name, (_, help_line) in STUDIES.items():
        assert any(line.split(maxsplit=1) == [name, help_line] for line in lines)


@pytest.mark.parametrize("name", STUDIES)
def test_help_of_a_study_says_what_it_is(name, gan):
    result = gan("theory", name, "--help")
    assert result.status == 0
    assert f"gan theory {name}: {STUDIES[name][1]}" in result.output


@pytest.mark.parametrize("name", long_but(STUDIES, ("phases", "losses", "dirac")))
def test_a_study_leaves_its_numbers_its_picture_and_its_film_in_the_folder_of_a_run(name, study):
    done = study(name)
    assert done.error == ""
    kinds = ["gif", "json", "png", "svg"] if name in FILMED else ["json", "png", "svg"]
    files = [done.folder / "theory" / f"{name}.{kind}" for kind in kinds]
    assert sorted((done.folder / "theory").iterdir()) == files
    for path in files:
        assert str(path) in done.output
    assert f"theory: {name}" in done.output
    with Image.open(done.folder / "theory" / f"{name}.png") as picture:
        assert min(picture.size) > 200
        assert len(picture.convert("L").getcolors()) > 20
    assert "</svg>" in (done.folder / "theory" / f"{name}.svg").read_text()
    if name in FILMED:
        with Image.open(done.folder / "theory" / f"{name}.gif") as film:
            assert film.n_frames >= 3
    found = leaves(done.numbers)
    assert len(found) >= 10
    assert all(math.isfinite(leaf) for leaf in found if isinstance(leaf, int | float))
    config = yaml.safe_load((done.folder / "config.yaml").read_text())
    assert config["seed"] == 0
    record = json.loads((done.folder / "run.json").read_text())
    assert record["segments"]
    assert f"experiment={STUDIES[name][0]}" in record["overrides"]


@pytest.mark.parametrize("name", STUDIES)
def test_no_text_of_a_figure_is_cut_off_or_over_another_and_no_legend_over_data(name, study):
    assert faults(study(name).figure) == []


def test_phases(study):
    numbers = study("phases").numbers
    assert numbers.keys() == {"title", "round", "final", *numbers["final"]}
    assert numbers["final"].keys() == {"value", "jsd", "value_optimal", "regret", "real", "fake", "deviation", "atoms"}
    assert numbers["round"] == [0, 2, 9, 20]
    assert all(regret >= 0 for regret in numbers["regret"])
    for value, jsd in zip(numbers["value_optimal"], numbers["jsd"], strict=True):
        assert value == pytest.approx(2 * jsd - math.log(4), abs=1e-12)
    for line in (f"{name} " for name in numbers["final"]):
        assert line in study("phases").output


def test_modes(study):
    numbers = study("modes").numbers
    assert numbers["round"] == [0, 7, 13, 20]
    assert {"modes", "high_quality", "reverse_kl"} <= numbers["final"].keys()
    assert 0 <= numbers["final"]["high_quality"] <= 1


def test_optimum_gives_the_published_values(study):
    """V(D*, G) of N(0, 1) and N(mu, 1), from the closed form of their JSD."""
    numbers = study("optimum").numbers
    published = {0: -math.log(4), 0.5: -1.32567176, 1: -1.1634514, 2: -0.71263272, 4: -0.12085397}
    for mean, value in published.items():
        found = numbers["value"][f"N(0, 1), N({mean:g}, 1)"]
        assert found["V(D*, G)"] == pytest.approx(value, abs=1e-6)
        assert found["2 JSD - log 4"] == pytest.approx(found["V(D*, G)"], abs=1e-9)
    for name, maximum in numbers["proposition_1"].items():
        a, b = map(float, name.split(", "))
        assert maximum["found"] == pytest.approx(a / (a + b), abs=1e-7)
        assert maximum["predicted"] == pytest.approx(a / (a + b), abs=1e-12)
    entropy, over = numbers["cross_entropy"], numbers["unconscious_statistician"]
    assert entropy["V"] == pytest.approx(entropy["-2 mean cross-entropy"], abs=1e-12)
    assert over["E_z cos G(z)"] == pytest.approx(over["E_x cos x"], abs=1e-4)
    assert 0 <= numbers["best_logit"]["largest error"] < 1e-5
    saddle, curvatures, end = (numbers[key] for key in ("saddle", "curvatures_at_the_saddle", "end_of_training"))
    assert (saddle["theta"], saddle["phi"], saddle["slope"]) == pytest.approx((0, 0, 0), abs=1e-9)
    assert saddle["V"] == pytest.approx(-math.log(4), abs=1e-9)
    assert (curvatures["least"], curvatures["largest"]) == pytest.approx((-0.809017, 0.309017), abs=1e-6)
    assert end["round"] == 60
    assert math.hypot(end["theta"], end["phi"]) < 0.9 * math.hypot(2, 1)


def test_optimum_takes_a_loss_whose_best_logit_is_not_log_odds_and_one_with_a_set_of_them(study):
    assert study("optimum", "loss=least_squares", drawn=False).numbers["best_logit"]["largest error"] < 1e-5
    assert study("optimum", "loss=f_pearson", drawn=False).numbers["end_of_training"]["round"] < 60  # it diverges
    hinge = study("optimum", "loss=hinge", drawn=False)
    assert not {"best_logit", "saddle"} & hinge.numbers.keys()
    assert faults(hinge.figure) == []


def test_convergence(study):
    numbers = study("convergence").numbers
    assert numbers["least_second_difference"] >= -1e-12
    assert 0 <= numbers["envelope_error"] < 1e-6
    assert numbers["least_value"] == pytest.approx(-math.log(4), abs=1e-12)
    assert set(numbers["paths"]) == {"down V(D*, p_g)", "down the generator's loss"}
    for path in numbers["paths"].values():
        assert path["jsd"][-1] < 1e-3 * path["jsd"][0]
    value = numbers["paths"]["down V(D*, p_g)"]["value"]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(value))
    assert numbers["training"]["final"]["regret"] >= 0
    assert numbers["training"]["round"][-1] == 20


def test_saturation_covers_every_loss(study):
    numbers = study("saturation").numbers
    assert numbers["gradient"].keys() == groups()["loss"].keys()
    middle = len(numbers["logit"]) // 2
    assert numbers["logit"][middle] == pytest.approx(0, abs=1e-12)
    minimax, non_saturating = (numbers["gradient"][name] for name in ("minimax", "non_saturating"))
    assert (minimax[middle], non_saturating[middle]) == pytest.approx((-0.5, -0.5), abs=1e-12)
    assert minimax[0] == pytest.approx(-1 / (1 + math.exp(15)), rel=1e-9)
    assert non_saturating[0] == pytest.approx(-1, abs=1e-6)
    first, last = (numbers["measured"][i]["norms"] for i in (0, -1))
    assert first.keys() == groups()["loss"].keys()
    assert last["minimax"] < 0.01 * last["non_saturating"]
    assert last["minimax"] < 0.1 * first["minimax"]


def test_saturation_of_one_loss_stands_beside_the_two_of_goodfellow(study):
    assert set(study("saturation", "loss=hinge", drawn=False).numbers["gradient"]) == {
        "minimax",
        "non_saturating",
        "hinge",
    }


def test_inner_steps_compares_at_as_many_generator_updates_and_at_as_many_in_all(study):
    numbers = study("inner-steps").numbers
    each, both = (next(runs for budget, runs in numbers.items() if text in budget) for text in ("generator", "both"))
    assert each.keys() == both.keys() == {"1", "2", "5", "20"}
    assert {k: seeds[0]["round"][-1] for k, seeds in each.items()} == dict.fromkeys(each, 6)
    assert {k: seeds[0]["round"][-1] for k, seeds in both.items()} == {"1": 6, "2": 4, "5": 2, "20": 1}
    assert all(run["final"]["regret"] >= 0 for runs in (each, both) for seeds in runs.values() for run in seeds)
    assert all(len({run["final"]["jsd"] for run in seeds}) == 3 for seeds in each.values())  # three seeds
    assert each["1"] == both["1"]


EIGENVALUES = {
    0.3: [[-0.15, -0.476970], [-0.15, 0.476970]],
    1: [[-0.5, 0], [-0.5, 0]],
    2: [[-1.866025, 0], [-0.133975, 0]],
}


@pytest.mark.parametrize("weight", EIGENVALUES)
def test_dirac_has_the_eigenvalues_of_the_closed_form(weight, study):
    """-w / 2 +- sqrt(w^2 / 4 - f'(0)^2) with f'(0) = 1/2 (Mescheder et al. 2018, lemma 4.1 and 4.3)."""
    numbers = study("dirac", "rounds=20", "regularizer=r1", f"regularizer.r1.weight={weight}", drawn=False).numbers
    found = sorted(numbers["eigenvalues"])
    for value, expected in zip(found, EIGENVALUES[weight], strict=True):
        assert value == pytest.approx(expected, abs=1e-5)
    assert (numbers["loss"], numbers["regularizers"]) == ("minimax", ["r1"])
    assert numbers["verdicts"]["flow"] == "converges"


def test_dirac_without_a_regularizer_cycles(study):
    numbers = study("dirac").numbers
    assert sorted(numbers["eigenvalues"]) == [pytest.approx([0, -0.5]), pytest.approx([0, 0.5])]
    assert numbers["verdicts"] == {"flow": "cycles", "simultaneous": "diverges", "alternating": "cycles"}
    assert numbers["trajectories"].keys() == numbers["verdicts"].keys()


@pytest.mark.long
def test_dirac_of_all_pairs(gan, the_run, tmp_path):
    result = gan("theory", "dirac", "--all", f"output={tmp_path}", "logger=none")
    assert result.status == 0, result.error
    folder = the_run(tmp_path) / "theory"
    assert {path.name for path in folder.iterdir()} == {f"dirac-all.{kind}" for kind in ("json", "png", "svg")}
    rows = json.loads((folder / "dirac-all.json").read_text())["rows"]
    pairs = {(row["loss"], row["regularizer"]): row for row in rows}
    assert set(pairs) == set(itertools.product(LOSSES, REGULARIZERS))
    assert pairs["minimax", "none"]["flow"] == "cycles"
    printed = next(line for line in result.output.splitlines() if line.startswith("minimax "))
    assert len(printed.split()) == 1 + len(REGULARIZERS)
    assert "odo" in printed
    assert pairs["minimax", "none"]["simultaneous"] == "diverges"
    assert pairs["non_saturating", "r1"]["flow"] == "converges"
    assert pairs["hinge", "label_smoothing"]["flow"] == "refused"


# --- whatever can be trained can be studied --------------------------------------------------------------------------


@pytest.fixture
def undrawn():
    """Nothing is turned into pixels."""
    with no_drawing():
        yield


LOSSES, REGULARIZERS = (
    sorted(name for name in groups()[group] if not getattr(make(choice(group, name)), "needs_extras", ()))
    for group in ("loss", "regularizer")
)
REGULARIZERS = [name for name in REGULARIZERS if name not in ("cr", "bcr", "path_length")]  # of images, of w
SUITED = {"wasserstein": "weight_clipping", "non_saturating": "label_smoothing"}
TURNS = itertools.cycle([name for name in REGULARIZERS if name not in SUITED.values()])
PAIRS = [(loss, SUITED.get(loss) or next(TURNS)) for loss in LOSSES]
"""Every loss once, and every regulariser at least once, but for those that need images, classes or codes."""

FEW = ("logger=none", *NETWORKS, "metrics=none", "rounds=6", "analysis.phases.frames=4", "analysis.phases.bins=30")


def few_rounds(gan, the_run, output, *overrides):
    """The numbers of phases of 6 rounds."""
    result = gan("theory", "phases", f"output={output}", *FEW, *overrides)
    assert (result.status, result.error) == (0, "")
    folder = the_run(output) / "theory"
    assert {path.name for path in folder.iterdir()} == {f"phases.{kind}" for kind in ("json", "png", "gif")}
    return json.loads((folder / "phases.json").read_text())


@pytest.mark.parametrize(("loss", "regularizer"), PAIRS)
def test_phases_of_every_loss_and_every_regularizer(loss, regularizer, gan, the_run, undrawn, tmp_path):
    assert {name for _, name in PAIRS} == set(REGULARIZERS)
    numbers = few_rounds(gan, the_run, tmp_path, f"loss={loss}", f"regularizer={regularizer}")
    assert numbers["round"] == [0, 1, 3, 6]
    assert {"value", "jsd", "real", "fake"} <= numbers["final"].keys()
    assert all(regret is None or regret >= -1e-9 for regret in numbers.get("regret", []))


@pytest.mark.parametrize(
    "overrides",
    [
        ("schedule=simultaneous", "optimizer=sgd"),
        ("schedule.discriminator_steps=3", "optimizer=rmsprop"),
        ("data=mixture_1d", "prior=uniform", "schedule.generator_steps=2", "regularizer=[r1,r2]", "ema=decay"),
    ],
    ids=["simultaneous sgd", "k = 3 rmsprop", "mixture"],
)
def test_phases_of_other_schedules_optimizers_and_data(overrides, gan, the_run, undrawn, tmp_path):
    assert few_rounds(gan, the_run, tmp_path, *overrides)["round"][-1] == 6


def test_phases_are_watched_in_any_training_and_go_on_where_it_is_resumed(gan, the_run, undrawn, tmp_path):
    result = gan("train", "experiment=phases", "lr_schedule=constant", f"output={tmp_path}", *FEW)
    assert result.status == 0, result.error
    run = the_run(tmp_path)
    assert gan("train", f"resume={run}", "rounds=20").status == 0
    numbers = json.loads((run / "theory" / "phases.json").read_text())
    assert numbers["round"] == [0, 1, 3, 6, 9, 20]
    logged = [row for row in read_history(run / "history.jsonl") if "theory/jsd" in row]
    assert [row["round"] for row in logged] == numbers["round"]
    assert [row["theory/jsd"] for row in logged] == numbers["jsd"]


# --- a loss of the user's own ----------------------------------------------------------------------------------------


MUTE = """
from gan_research.losses import AdversarialLoss, unproved


class Mute(AdversarialLoss):
    def discriminator(self, real_logits, fake_logits):
        return (1 - real_logits).relu() + (1 + fake_logits).relu()

    def generator(self, fake_logits, real_logits=None):
        return -fake_logits


class Modest(Mute):
    def theory(self):
        return unproved("nobody has looked yet")
"""


@pytest.fixture
def mute_config(own_config):
    """The user's folder, in which loss=mute declares no theory, and loss=modest that it claims nothing."""
    (own_config.parent / "mute_losses.py").write_text(MUTE)
    for name in ("Mute", "Modest"):
        text = f"# says nothing of itself\n_target_: mute_losses.{name}\n"
        (own_config / "loss" / f"{name.lower()}.yaml").write_text(text)
    yield own_config
    sys.modules.pop("mute_losses", None)


def test_a_loss_of_ones_own_is_studied_as_any_other(own_config, gan, the_run, undrawn, tmp_path):
    ours = ("--config-dir", own_config, "loss=ours")
    numbers = few_rounds(gan, the_run, tmp_path / "phases", *ours)
    assert numbers["title"] == "gaussian, Ours"
    assert numbers["regret"] == few_rounds(gan, the_run, tmp_path / "plain", "loss=non_saturating")["regret"]
    for name in ("saturation", "dirac"):
        output = tmp_path / name
        result = gan(
            "theory", name, f"output={output}", "logger=none", *SMALL.get(name, ()), *FAST.get(name, ()), *ours
        )
        assert result.status == 0, result.error
        numbers = json.loads((the_run(output) / "theory" / f"{name}.json").read_text())
        if name == "saturation":
            assert numbers["gradient"]["ours"] == numbers["gradient"]["non_saturating"]
        else:
            assert numbers["loss"] == "ours"
            assert sorted(numbers["eigenvalues"]) == [pytest.approx([0, -0.5]), pytest.approx([0, 0.5])]


@pytest.mark.parametrize("name", ["phases", "convergence", "optimum", "dirac"])
def test_a_loss_that_declares_no_theory_is_told_to(name, mute_config, gan, one_line, tmp_path):
    mute = ("--config-dir", mute_config, "loss=mute", f"output={tmp_path / 'runs'}", "logger=none")
    one_line(gan("theory", name, *SMALL.get(name, ()), *mute), "Mute declares no theory", "define theory()")


def test_a_loss_that_claims_nothing_is_studied_without_its_best(mute_config, gan, the_run, undrawn, tmp_path):
    modest = ("--config-dir", mute_config, "loss=modest")
    numbers = few_rounds(gan, the_run, tmp_path / "phases", *modest)
    assert numbers["final"].keys() == {"value", "jsd", "real", "fake", "atoms"}
    for name in ("saturation", "dirac"):
        result = gan("theory", name, f"output={tmp_path / name}", "logger=none", *FAST.get(name, ()), *modest)
        assert (result.status, result.error) == (0, "")


# --- loggers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "step"), [("phases", 20), ("optimum", 0)])
def test_the_figure_reaches_the_loggers(name, step, study):
    folder = study(name).folder
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
    (image,) = events.Images(f"theory/{name}")
    assert image.step == step
    with Image.open(folder / "theory" / f"{name}.png") as picture:
        assert (image.width, image.height) == picture.size
    (media,) = (folder / "wandb").glob("offline-run-*/files/media/images/theory")
    (logged,) = media.glob(f"{name}_*.png")
    assert logged.read_bytes() == (folder / "theory" / f"{name}.png").read_bytes()
    if name == "phases":
        (film,) = (folder / "wandb").glob(f"offline-run-*/files/media/videos/theory/{name}_film_*.gif")
        assert film.read_bytes() == (folder / "theory" / f"{name}.gif").read_bytes()
        assert {event.step for event in events.Scalars("theory/jsd")} == {0, 2, 9, 20}
        assert "theory/jsd" in (folder / "metrics.csv").read_text().partition("\n")[0].split(",")


# --- what goes wrong -------------------------------------------------------------------------------------------------

WRONG = {
    "an unknown study": ("phase", (), ["no study 'phase'", "did you mean 'phases'?"]),
    "--all of another study": ("phases", ("--all",), ["--all", "gan theory dirac"]),
    "a word that is no setting": ("phases", ("hinge",), ["'hinge'", "KEY=VALUE", "gan theory"]),
    "an unknown option": ("phases", ("--cfg",), ["'--cfg'", "gan theory"]),
    "phases in the plane": ("phases", ("data=ring",), ["data=gaussian_1d", "gan theory modes"]),
    "too few frames": ("phases", ("analysis.phases.frames=3",), ["frames=3", "at least 4"]),
    "modes on the line": ("modes", ("data=gaussian_1d",), ["data=ring", "gan theory phases"]),
    "the optimum of pictures": ("optimum", ("data=digits",), ["digits", "data=gaussian_1d"]),
    "the optimum in the plane": ("optimum", ("data=ring",), ["ring", "data=gaussian_1d", "gan theory modes"]),
    "the optimum of a loss over pairs": ("optimum", ("loss=rp_gan",), ["Relativistic", "pointwise"]),
    "convergence without a closed form": ("convergence", ("loss=ra_gan",), ["RelativisticAverage", "closed form"]),
    "a loss that isn't there": ("saturation", ("loss=hing",), ["loss=hing", "did you mean 'hinge'?"]),
    "a misspelt key": ("phases", ("generator.widht=8",), ["generator.widht", "did you mean 'generator.width'?"]),
    "a misspelt key of the analysis": (
        "phases",
        ("analysis.phases.frame=8",),
        ["did you mean 'analysis.phases.frames'?"],
    ),
    "no rounds": ("dirac", ("rounds=0",), ["rounds=0"]),
    "a rate that can't be": ("dirac", ("optimizer.generator.lr=-1",), ["optimizer", "-1"]),
    "nothing to watch": ("phases", ("analysis=none", "rounds=2"), ["analysis"]),
    "a resumed study": ("phases", ("resume=runs/x",), ["resume"]),
    "no such folder of choices": ("phases", ("--config-dir", "nowhere"), ["--config-dir nowhere"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_studied_is_one_line_and_leaves_nothing_behind(what, gan, one_line, tmp_path):
    name, arguments, parts = WRONG[what]
    one_line(gan("theory", name, f"output={tmp_path / 'runs'}", "logger=none", *arguments), *parts)
    assert not (tmp_path / "runs").exists()
