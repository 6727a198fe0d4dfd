"""The config tree: every choice stands, every typo is found, and it is where the program is."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from companions import companions
from hydra.utils import get_object

from gan_research.checkpoints.allowlist import require_allowed
from gan_research.cli.reproduce import claims
from gan_research.config.build import build_evaluation, build_game, build_trainer, make
from gan_research.config.compose import compose_multirun, compose_train, conf_folder, groups
from gan_research.config.overrides import literal
from gan_research.config.schema import train as schema
from gan_research.runs.run import Run
from gan_research.sweeps.points import Axis, examples
from gan_research.sweeps.search import SearchSpec, merge_axes
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError

CONF = conf_folder()
CHOICES = sorted(
    (group, path.stem)
    for path in CONF.rglob("*.yaml")
    if (group := path.parent.relative_to(CONF).as_posix()) not in (".", "experiment", "variants")
    if group.partition("/")[0] != "sweep"
)
SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
PARTS_OF_SWEEPS = sorted(path.relative_to(CONF / "sweep") for path in (CONF / "sweep").glob("*/*.yaml"))
EXPERIMENTS = sorted({path.stem for path in (CONF / "experiment").glob("*.yaml")} - set(claims()))
"""Those that claim nothing: recipes are looked at in tests/reproduction."""
NEEDED = {
    "image_folder": ["data.root=.", "data.resolution=32"],
    "arrays": ["data.path=."],
    "images": ["data.path=.", "data.resolution=32"],
    "modes": ["data=ring"],
    "projection": ["conditional=true"],
    "bilinear": ["conditional=true"],
    "label_mapping": ["conditional=true"],
    "classifier": ["conditional=true", "regularizer=[auxiliary_classifier]"],
    "auxiliary_classifier": ["conditional=true", "head=classifier"],
    "unrolled": ["loss=minimax"],
}
"""What a choice asks the user for."""

DOWNLOADED = {
    "inception": "Inception-v3",
    "inception_50k": "Inception-v3",
    "inception_768": "Inception-v3",
    "precision_recall": "VGG16",
    "ppl": "VGG16",
    "dinov2": "DINOv2",
    "clip": "CLIP",
}
"""The weights that a choice of metrics asks the user for."""


def composed(*overrides):
    return compose_train([*overrides, "generator.width=16", "discriminator.width=16"]).config


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=[f"{g}={c}" for g, c in CHOICES])
def test_every_choice_composes_and_its_components_can_be_made(group, choice, tmp_path, monkeypatch):
    config = composed(f"{group}={choice}", *NEEDED.get(choice, []), *companions(choice, group))
    data = make(config["data"])
    assert data.batch_size == config["batch_size"] == 64
    if group == "data":
        return
    if (group, choice) == ("trainer", "gpu") and not torch.cuda.is_available():
        with pytest.raises(UserError, match="gpu"):
            build_trainer(config["trainer"])
        return
    if group == "metrics" and choice in DOWNLOADED:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(
            UserError, match=rf"no {DOWNLOADED[choice]} weights at {tmp_path}.*: download .* put it there"
        ):
            build_evaluation(config, optional=False)
        return
    evaluation = build_evaluation(config, optional=False)
    trainer = build_trainer(config["trainer"])
    assert (evaluation is None) == ((group, choice) == ("metrics", "none"))
    assert trainer.world_size == (2 if choice == "ddp_multinode" else 1)
    gan = build_game(config, data)
    optimizers, schedulers = gan.configure_optimizers()
    names = {"gradient_descent": "sgd"}
    assert [type(o).__name__.lower() for o in optimizers] == [
        names.get(choice, choice) if group == "optimizer" else "adam"
    ] * 2
    assert len(schedulers) == (2 if group == "lr_schedule" and choice != "constant" else 0)
    run = Run(tmp_path, "name", "group")
    for node in (config["logger"] or {}).values():
        assert type(make(node, run=run)).__name__ == node["_target_"].rpartition(".")[2]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_its_game_can_be_made(experiment, monkeypatch):
    monkeypatch.setattr("gan_research.config.build.require_images_of_classes", lambda data: None)
    composition = compose_train([f"experiment={experiment}"])
    assert composition.choices["experiment"] == experiment
    require_allowed(composition.config)
    data = make(composition.config["data"])
    data.mean = lambda: torch.full(data.sample_spec.shape, 0.5)  # the samples may not be here
    gan = build_game(composition.config, data)
    assert gan.rounds == composition.config["rounds"]
    gan.configure_optimizers()


@pytest.mark.parametrize("path", PARTS_OF_SWEEPS, ids=str)
def test_every_sampler_and_every_pruner_is_optunas(path, tmp_path):
    part = path.parent.name
    config = compose_multirun(["sweep=optuna", f"sweep/{part}={path.stem}"])
    axes = [Axis("rounds", None, 10, 20, integer=True)]
    search = make(config["sweep"], spec=SearchSpec(axes, tmp_path, "a-study", "fid", "min"))
    assert search.ask([]) is not None
    used = {"sampler": search.study.sampler, "pruner": search.study.pruner}[part]
    assert path.stem in type(used).__name__.lower().replace("nop", "none")


@pytest.mark.parametrize("choice", SWEEPS)
def test_every_sweep_composes_and_its_search_can_be_made(choice, tmp_path):
    config = compose_multirun([f"sweep={choice}"])
    axes = merge_axes(config["sweep"]["space"], [Axis("loss", ("hinge", "minimax"))])
    for point in examples(axes):
        assert compose_train(point).config["loss"]["_target_"].startswith("gan_research.losses.")
    search = make(config["sweep"], spec=SearchSpec(axes, tmp_path, "a-study", "fid", "min"))
    first = search.ask([])
    assert set(first.values) | {"seed"} == {axis.name for axis in axes} | {"seed"}
    assert make(config["pool"]).slots(1, on_gpus=False)


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda p: p.relative_to(CONF).as_posix())
def test_every_file_says_what_it_is_in_a_comment_at_its_top(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 4


def nodes_of(group, choice):
    """The components in the file of a choice."""
    file = yaml.safe_load((CONF / group / f"{choice}.yaml").read_text()) or {}
    return [file] if "_target_" in file else [node for node in file.values() if isinstance(node, dict)]


TARGETS = [node["_target_"] for group, choice in CHOICES for node in nodes_of(group, choice)]


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=[f"{g}={c}" for g, c in CHOICES])
def test_a_default_is_that_of_the_constructor(group, choice):
    """A file that is the only one of its class repeats the constructor's defaults; of several, each is a choice."""
    for node in nodes_of(group, choice):
        target = node["_target_"]
        if TARGETS.count(target) > 1 or not target.startswith("gan_research."):
            continue
        parameters = inspect.signature(get_object(target)).parameters
        for key in node.keys() & parameters.keys():
            value, default = node[key], parameters[key].default
            if default in (inspect.Parameter.empty, None) or isinstance(value, dict):
                continue
            if isinstance(value, str) and ("${" in value or value == "???"):
                continue
            if isinstance(value, str) and isinstance(default, float):
                value = float(value)  # YAML 1.1 reads 1e-3 as text
            assert value == (list(default) if isinstance(default, tuple) else default), key


def test_defaults_of_the_top_level_are_those_of_the_game_and_of_the_schema():
    top = yaml.safe_load((CONF / "train.yaml").read_text())
    parameters = inspect.signature(GAN).parameters
    for key in ("rounds", "accumulation", "precision", "log_every", "seed"):
        assert top[key] == parameters[key].default
    chosen = {name for entry in top["defaults"] if isinstance(entry, dict) for name in entry}
    assert set(inspect.signature(schema).parameters) == (set(top) | chosen) - {"defaults", "experiment"}
    assert set(yaml.safe_load((CONF / "multirun.yaml").read_text())) == {"defaults", "objective", "pool"}


def test_help_lists_every_group_and_choice_with_its_line(gan):
    result = gan("train", "--help")
    assert result.status == 0
    lines = result.output.splitlines()
    for group, choices in groups().items():
        start = lines.index(f"{group}=") + 1
        shown = dict(line.strip().partition(" ")[::2] for line in lines[start : start + len(choices)])
        assert {name: text.strip() for name, text in shown.items()} == choices
        assert all(choices.values())
    for key in ("rounds", "batch_size", "checkpoint_every", "output"):
        assert any(line.split()[:1] == [key] for line in lines)


BAD = [
    ("round=5", "there is no round", "did you mean 'rounds'?"),
    ("generator.widht=3", "there is no generator.widht", "did you mean 'generator.width'?"),
    ("optimizer.generator.lrr=1", "there is no optimizer.generator.lrr", "'optimizer.generator.lr'?"),
    ("lss=hinge", "there is no lss", "did you mean 'loss'?"),
    ("loss=hing", "there is no loss=hing", "did you mean 'hinge'?"),
    ("experiment=nonsense", "there is no", "experiment"),
    ("+foo=1", "there is no foo", "rounds"),
    ("+generator.widht=3", "there is no generator.widht", "did you mean 'generator.width'?"),
    ("+generator.resolution=16", "resolution", "don't set it"),
    ("+trainer.max_step=5", "there is no trainer.max_step", "did you mean 'trainer.max_steps'?"),
    ("regularizer.r2.weight=3", "there is no regularizer.r2", "did you mean 'regularizer.r1'?"),
    ("name=5", "name=5", "valid string"),
    ("rounds=true", "rounds=True", "valid integer"),
    ("rounds=2.5", "rounds=2.5", "valid integer"),
    ("rounds=5.0", "rounds=5.0", "valid integer"),
    ("generator.width=16.0", "generator.width=16.0", "valid integer"),
    ("conditional=1", "conditional=1", "valid boolean"),
    ("tags=a", "tags='a'", "valid list"),
    ("precision=16", "precision=16", "'32', 'tf32', 'bf16', 'fp16' or '64'"),
    ("schedule.updates=both", "schedule.updates='both'", "'alternating' or 'simultaneous'"),
    ("data=arrays", "data.path must be given", "add data.path=..."),
    ("data=image_folder", "data.root must be given", "add data.root=..."),
    ("~loss", "loss", "exactly one choice"),
    ("~rounds", "rounds must be given", "add rounds=..."),
    ("loss=[hinge,minimax]", "loss", "exactly one choice"),
    ("loss=null", "must be a string", "gan: error"),
    ("loss=hinge,minimax", "hinge,minimax", "add -m"),
    ("rounds=range(3)", "rounds=range(3)", "add -m"),
    ("name=[5]", "name=[5]", "name='...'"),
    ("tags=[R&D]", "tags='[R&D]'", "'R&D'"),
    ("lr=0.1", "there is no lr", "'optimizer.generator.lr'"),
    ("optimizer.lr=0.1", "there is no optimizer.lr", "'optimizer.generator.lr'"),
    ("+epochs=3", "there is no epochs", "'rounds'"),
    ("trainer.max_epochs=5", "trainer.max_epochs would end or change training", "set rounds"),
    ("wandb.project=x", "there is no wandb.project", "'logger.wandb.project'"),
    ("r1.weight=3", "there is no r1.weight", "'regularizer.r1.weight'"),
    ("generator.channels=3", "there is no generator.channels", "'generator.width'"),
    ("device=cuda", "there is no device", "'trainer=gpu'"),
    ("--loss=hinge", "--loss=hinge", "loss=hinge?"),
    ("--batch-size=8", "--batch-size=8", "batch_size=8?"),
    ("--lr", "--lr", "optimizer.generator.lr=...?"),
    ("data.batch_size=3", "data.batch_size=3", "batch_size=64"),
    ("data.seed=3", "data.seed=3", "seed=0"),
    ("+trainer.limit_train_batches=0", "trainer.limit_train_batches", "rounds"),
    ("+trainer.fast_dev_run=true", "trainer.fast_dev_run", "rounds"),
    ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val", "max_gradient_norm"),
    ("+trainer.overfit_batches=1", "trainer.overfit_batches", "rounds"),
    ("+trainer.barebones=true", "trainer.barebones", "devices"),
    ("optimizer.generator.lr=-1", "optimizer.generator.lr=-1", "0 or more"),
    ("optimizer.discriminator.lr=-1", "optimizer.discriminator.lr=-1", "0 or more"),
    ("optimizer.generator.lr=nan", "optimizer.generator.lr=nan", "finite"),
    ("optimizer.generator.betas=[0.5,1.5]", "optimizer.generator:", "1.5"),
    ("optimizer.discriminator.betas=[0.5,1.5]", "optimizer.discriminator:", "1.5"),
    ("+optimizer.critic.lr=1", "optimizer.critic", "discriminator"),
    ("regularizer.r1.weight=-1", "regularizer.r1.weight=-1", "greater"),
    ("regularizer.r1.weight=inf", "regularizer.r1.weight=inf", "finite"),
    ("max_gradient_norm=inf", "max_gradient_norm=inf", "finite"),
    ("seed=99999999999999999999", "seed=99999999999999999999", "64 bits"),
    ("ema.decay=1", "ema.decay=1", "less than 1"),
    ("health.stuck_after=0", "health.stuck_after=0", "greater than 0"),
    ("prior.latent_dim=0", "prior.latent_dim=0", "greater than 0"),
    ("generator.width=1000000000000", "generator", "memory"),
    ("generator.width={_target_:os.getcwd}", "generator.width=", "valid integer"),
    ("loss._target_=gan_research.regularizers.R1", "loss._target_", "AdversarialLoss"),
    ("schedule._target_=gan_research.losses.Hinge", "schedule._target_", "Schedule"),
    ("launcher._target_=gan_research.losses.Hinge", "launcher._target_", "Launcher"),
    ("loss._target_=gan_research.losses", "loss._target_", "not a class"),
    ("loss._target_=null", "loss has no _target_", "name the class"),
    ("+loss._partial_=true", "loss._partial_", "false"),
    ("optimizer.generator._partial_=false", "optimizer.generator._partial_", "true"),
    ("a b=3", "a b=3", "KEY=VALUE"),
    ("rounds=0", "rounds=0", "greater than 0"),
    ("keep_every=7", "keep_every=7", "multiple of checkpoint_every=10"),
    ("keep_every=0", "keep_every=0", "greater than 0"),
    ("best=fidd", "best=fidd", "fid, inception_score, rarest_class"),
    ("metrics=digit", "there is no metrics=digit", "did you mean 'digits'?"),
    ("metrics.metrics=[fidd]", "there is no metric 'fidd'", "'fid'?"),
    ("metrics.num_samples=1", "num_samples", "at least"),
    ("generator._target_=foo.Bar", "there is no module foo", "PYTHONPATH="),
    ("data._target_=foo.Bar", "data._target_=foo.Bar", "can't be imported"),
    ("accumulation=3", "accumulation=3", "batch_size=64"),
    ("hydra.run.dir=x", "hydra.* has no effect", "output="),
    ("foo", "'foo' is neither KEY=VALUE", "gan train --help"),
    ("--config-dir=/nonexistent", "/nonexistent", "not a folder"),
    ("--config-dir", "--config-dir", "give a folder"),
]


@pytest.mark.parametrize(("override", "first", "second"), BAD, ids=[b[0] for b in BAD])
def test_what_does_not_fit_is_one_line_that_names_what_would_and_makes_no_folder(
    override, first, second, train, one_line, tmp_path
):
    one_line(train(tmp_path / "runs", override), first, second)
    assert not (tmp_path / "runs").exists()


MORE = [
    (
        ("regularizer=[approximate_r1]", "regularizer.approximate_r1.share=0.125", "batch_size=20"),
        "share",
        "batch_size",
    ),
    (("unrolling=unrolled",), "unrolling.descends", "loss=minimax"),
    (
        ("optimizer=rmsprop", "++optimizer.generator.betas=[0,0.9]"),
        "no optimizer.generator.betas",
        "optimizer.generator.eps",
    ),
    (("data=arrays", "data.root=/tmp"), "there is no data.root", "'data.path'"),
    (("data=ring", "data.density._target_=gan_research.losses.Hinge", "metrics=none"), "data.density", "settings"),
    (("data=ring", "+data.density._partial_=true"), "data.density._partial_", "false"),
    (("data=ring", "metrics=none", "batch_size=1000000000000"), "batch_size", "memory"),
    (("data=ring", "metrics=none", "schedule.discriminator_steps=1000000000000"), "schedule", "memory"),
    (("lr_schedule=cosine", "lr_schedule.generator.T_max=0"), "lr_schedule.generator", "torch refuses"),
    (("lr_schedule=linear", "lr_schedule.generator.start_factor=5"), "lr_schedule.generator", "torch refuses"),
    (("trainer=ddp", "trainer.strategy.timeout=1e30"), "PlayerDDPStrategy", "too large"),
    (("logger=wandb", f"tags=[{'a' * 65}]"), "tags", "64 characters"),
    (("logger=wandb", "logger.wandb.project=a/b"), "W&B", "a/b"),
    (("logger=mlflow", "tags=['R&D']"), "MLflow", "R&D"),
    (("logger=mlflow", "logger.mlflow.project=''"), "MLflow", "experiment name"),
]


@pytest.mark.parametrize(("overrides", "first", "second"), MORE, ids=[" ".join(m[0])[:60] for m in MORE])
def test_settings_that_do_not_fit_together(overrides, first, second, train, one_line, tmp_path):
    one_line(train(tmp_path / "runs", *overrides), first, second)
    assert not (tmp_path / "runs").exists()


PATHS = [
    "R&D",
    "run (2)",
    "lr=1",
    "it's",
    'a "quote"',
    "снимки",
    "[x]",
    "{a}",
    "a\\b'",
    "100% #1",
    "x;y",
    "a:b",
    "end\\",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_is_read_as_it_is_typed(path, gan):
    result = gan("train", "--cfg", f"output=/data/{path}")
    assert yaml.safe_load(result.output)["output"] == f"/data/{path}"
    assert literal(literal(f"output={path}")) == literal(f"output={path}")


def test_a_tilde_is_the_home_folder(gan, monkeypatch):
    monkeypatch.setenv("HOME", "/home/R&D")
    assert yaml.safe_load(gan("train", "--cfg", "output=~/runs").output)["output"] == "/home/R&D/runs"
    assert literal("resume=~/a (1)") == "resume=/home/R&D/a (1)"


def test_unknown_modes_of_wandb_are_found_before_data_are_loaded(train, one_line, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "bogus")
    one_line(train(tmp_path / "runs", "logger=wandb"), "WANDB_MODE", "offline")
    assert not (tmp_path / "runs").exists()


def test_cfg_prints_the_resolved_config_from_any_folder(gan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = gan("train", "--cfg", "optimizer.generator.lr=0.5", "precision=32", "ema.decay=0")
    assert result.status == 0
    config = yaml.safe_load(result.output)
    assert config["optimizer"]["discriminator"]["lr"] == 0.5
    assert config["precision"] == "32"
    assert isinstance(config["ema"]["decay"], float)
    assert config["regularizer"] == {"r1": {"_target_": "gan_research.regularizers.R1", "weight": 0.1, "every": 1}}
    assert "${" not in result.output
    assert "???" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_setting_of_a_regularizer_that_is_not_chosen_is_an_error_but_not_if_an_experiment_made_it(gan, one_line):
    one_line(gan("train", "--cfg", "regularizer=none", "regularizer.r1.weight=5"), "set but not chosen", "[r1]")
    result = gan("train", "--cfg", "regularizer=none")  # train.yaml sets regularizer.r1.weight
    assert yaml.safe_load(result.output)["regularizer"] is None


def test_a_loss_of_the_users_own_trains_from_a_config_folder_of_the_users_own(
    own_config, gan, train, the_run, one_line, tmp_path
):
    assert "  ours " in gan("train", f"--config-dir={own_config}", "--help").output
    result = train(tmp_path / "runs", "--config-dir", own_config, "loss=ours", "metrics=none")
    assert result.status == 0, result.error
    run = the_run(tmp_path / "runs")
    assert yaml.safe_load((run / "config.yaml").read_text())["loss"]["_target_"] == "their_losses.Ours"
    assert (run / "checkpoints" / "last.ckpt").is_file()
    one_line(train(tmp_path / "more", "--config-dir", own_config, "loss=our"), "did you mean 'ours'?")
    one_line(train(tmp_path / "more", "--config-dir", own_config, "loss=ours", "+loss.bad=3"), "'loss.bad_loss_from'?")
    (own_config / "loss" / "broken.yaml").write_text("# broken\na: [1, 2\n")
    one_line(train(tmp_path / "more", "--config-dir", own_config, "loss=broken"), "not valid YAML", "broken.yaml")
    assert not (tmp_path / "more").exists()


BAD_FILES = {
    "empty": b"",
    "blank": b" \n\n",
    "comment": b"# nothing\n",
    "no_target": b"weight: 3\n",
    "syntax": b"a: [\n",
    "twice": b"a: 1\na: 2\n",
    "latin": b"# \xff\n_target_: gan_research.losses.Hinge\n",
    "binary": b"\x00\x01",
    "list": b"- a\n",
    "number": b"3\n",
    "documents": b"a: 1\n---\nb: 2\n",
    "deep": b"a: " + b"[" * 3000,
    "interpolation": b"a: ${\n",
    "nowhere": b"_target_: gan_research.losses.Hinge\na: ${not.here}\n",
    "defaults": b"defaults: 3\n",
}


def test_a_bad_file_in_the_users_folder_breaks_only_what_chooses_it_and_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "conf (1), a=b"
    for group in ("loss", "regularizer", "runs/one"):
        (folder / group).mkdir(parents=True)
    for name, content in BAD_FILES.items():
        (folder / "loss" / f"{name}.yaml").write_bytes(content)
    (folder / "regularizer" / "empty.yaml").touch()
    (folder / "loss" / "folder.yaml").mkdir()
    (folder / "loss" / "dangling.yaml").symlink_to("nowhere")
    (folder / "loss" / "mine.yaml").write_text("_target_: gan_research.losses.Hinge\n")
    (folder / "runs" / "one" / "config.yaml").write_text("seed: 3\n")
    monkeypatch.chdir(folder)
    assert compose_train(["loss=mine"], Path()).choices["loss"] == "mine"
    assert compose_train(["loss=hinge"], folder).choices["loss"] == "hinge"
    for group, name in [*(("loss", name) for name in BAD_FILES), ("regularizer", "empty")]:
        with pytest.raises(UserError, match="loss.a: " if name == "nowhere" else f"{group}/{name}"):
            compose_train([f"{group}={name}"], Path())


def test_the_wheel_holds_the_config_tree(tmp_path):
    source = Path(__file__).resolve().parents[2]
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv to build a wheel with")
    built = subprocess.run([uv, "build", "--wheel", "-o", tmp_path, source], capture_output=True, text=True)
    if built.returncode and (
        ("hatchling" in built.stderr and "No solution" in built.stderr) or "network" in built.stderr
    ):
        pytest.skip("hatchling isn't to be had")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "installed"
    install = [uv, "pip", "install", "--python", sys.executable, "--no-deps", "--target", target, wheel]
    subprocess.run(install, check=True, capture_output=True)
    script = "import sys, gan_research, gan_research.cli as c; print('#', gan_research.__file__); sys.exit(c.main())"
    result = subprocess.run(
        [sys.executable, "-c", script, "train", "--cfg", "loss=hinge"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"# {target}")
    assert yaml.safe_load(result.stdout)["loss"] == {"_target_": "gan_research.losses.Hinge"}
    packed = {p.relative_to(target / "gan_research" / "conf") for p in target.rglob("conf/**/*.yaml")}
    assert packed == {p.relative_to(CONF) for p in CONF.rglob("*.yaml")}
