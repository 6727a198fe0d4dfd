"""`gan reproduce`: trainings of a paper's recipe, resumed and never begun anew, and what is said of them."""

import contextlib
import json
import os
import shutil
import signal

import pytest

from gan_research.cli.reproduce import claims
from gan_research.reproduction.result import Result
from gan_research.utils.errors import RESUME
from gan_research.utils.run_folder import comparable, read_history

RECIPE = """\
# @package _global_
# A ring, tiny
defaults:
  - override /data: pacgan_ring
  - override /generator: mlp
  - override /discriminator: mlp
  - override /regularizer: none
  - override /metrics: modes
  - override /ema: none
  - override /logger: none
rounds: 24
batch_size: 16
generator: {width: 16}
discriminator: {width: 16}
prior: {latent_dim: 2}
log_every: 4
sample_every: 24
evaluate_every: 8
checkpoint_every: 4
metrics: {num_samples: 100}
budgets:
  smoke: [rounds=8]
published:
  _target_: gan_research.reproduction.Published
  claim: a tiny net finds no mode
  numbers: {reverse_kl: {value: 2.0, spread: 0.5, tolerance: 1.0}, modes: {value: 0.0}}
  spread: nothing
  tolerance: generous
  protocol: 100 samples
  evaluation: {num_fake: 100, ema: false}
  source: {paper: "Somebody 2020, table 1"}
"""

PATCH = """
import os, signal
from gan_research.training.gan import GAN

step = GAN.training_step


def bad(self, *args):
    width = self.generator.body[0].out_features
    if self.round == 14 and self.seed == 1:
        if width == 24 and not os.path.exists({mended!r}):
            os.kill(os.getpid(), signal.SIGKILL)
        if width == 16:
            for weight in self.discriminator.parameters():
                weight.data.fill_(float("nan"))
    step(self, *args)


GAN.training_step = bad
"""


@pytest.fixture
def recipes(tmp_path):
    """A config folder with the recipes `tiny` and `wide`, which is said to be better."""
    folder = tmp_path / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "tiny.yaml").write_text(RECIPE)
    wide = RECIPE.replace("width: 16", "width: 24") + "  better_than: {modes: [tiny]}\n"
    (folder / "experiment" / "wide.yaml").write_text(wide)
    return folder


def homes(folder):
    return {path.parts[-4]: path.parent for path in sorted(folder.glob("*/0/*/run.json"))}


def rounds(home):
    return [row["round"] for row in read_history(home / "history.jsonl")]


def test_lost_seeds_are_resumed_and_a_diverged_one_counts(recipes, server, tmp_path):
    mended, runs = tmp_path / "mended", tmp_path / "runs"
    patch = PATCH.replace("{mended!r}", repr(str(mended)))
    words = ["tiny", "wide", "--seeds", "2", "--config-dir", recipes, "--", f"output={runs}"]
    ended = server.start("reproduce", *words, patch=patch).ended(300)
    assert ended.status == 2, ended
    assert "gan: error: 1 of 4 runs failed" in ended.error
    assert "failed: wide, seed 1: ended by SIGKILL" in ended.output
    assert "diverged: tiny, seed 1: round 15: logits/real is NaN" in ended.output
    folder = runs / "reproduce-paper"
    tiny, wide = json.loads((folder / "results.json").read_text())
    assert [seed["state"] for seed in tiny["seeds"]] == ["finished", "diverged"]
    assert [verdict["word"] for verdict in tiny["verdicts"]] == ["not reproduced", "not comparable"]
    assert [seed["state"] for seed in wide["seeds"]] == ["finished", "failed"]
    assert {verdict["reason"] for verdict in wide["verdicts"]} == {"1 of 2 seeds of wide unfinished"}
    before = homes(folder)
    untouched = {trial: (before[trial] / "history.jsonl").stat().st_mtime_ns for trial in ("000", "001", "002")}

    mended.touch()
    kept = tmp_path / "kept"
    again = ["--keep", kept, "--json", tmp_path / "all.json", *words]
    ended = server.start("reproduce", *again, patch=patch).ended(300)
    assert ended.status == 0, ended
    assert homes(folder) == before  # none was restarted
    assert {trial: (before[trial] / "history.jsonl").stat().st_mtime_ns for trial in untouched} == untouched
    assert rounds(before["003"]) == rounds(before["000"])
    _, wide = json.loads((tmp_path / "all.json").read_text())
    assert [seed["rounds"] for seed in wide["seeds"]] == [24, 24]
    assert wide["verdicts"][0]["word"] in ("reproduced", "better", "not reproduced")
    assert wide["seeds"][1]["protocol"]["num_fake"] == 100
    assert wide["command"] == "gan reproduce wide --seeds 2 --budget paper"
    assert wide["seeds"][0]["device"].endswith("1 thread")
    assert [path.name for path in sorted(folder.glob("*.html"))] == ["tiny.html", "wide.html"]
    assert sorted(path.name for path in (kept / "records").iterdir()) == ["tiny-paper.json", "wide-paper.json"]
    assert "| tiny | reverse_kl | 2 ± 0.5 |" in (kept / "README.md").read_text()

    ended = server.start("reproduce", "tiny", *words[2:], patch=patch).ended(300)  # nothing is left
    assert ended.status == 0, ended
    assert homes(folder) == before
    assert "│ tiny" in ended.output
    assert "│ wide" not in ended.output


@pytest.mark.long
def test_seeds_of_a_kept_record_are_not_trained_again(recipes, server, tmp_path):
    kept = tmp_path / "kept"

    def reproduce(seeds, runs, *more):
        words = ["tiny", "--seeds", seeds, "--keep", kept, "--config-dir", recipes, "--", f"output={tmp_path / runs}"]
        ended = server.start("reproduce", *words, "rounds=4", "evaluate_every=2", *more).ended(300)
        assert ended.status == 0, ended
        return Result.read(kept / "records" / "tiny-paper.json"), len(list((tmp_path / runs).rglob("run.json")))

    first, trained = reproduce(1, "here")
    assert trained == 1
    both, trained = reproduce(2, "elsewhere")
    assert trained == 1
    assert [seed.state for seed in both.seeds] == ["finished", "finished"]
    assert both.seeds[0] == first.seeds[0]
    fewer, trained = reproduce(1, "anywhere")
    assert (fewer.seeds, trained) == (both.seeds, 0)
    other, trained = reproduce(2, "other", "batch_size=20")  # another game: its seeds are its own
    assert trained == 2
    assert other.seeds != both.seeds


@pytest.mark.long
def test_it_is_stopped_and_resumed_with_more_seeds_at_another_budget(recipes, server, tmp_path):
    words = ["tiny", "--budget", "smoke", "--config-dir", recipes, "--", f"output={tmp_path}", "rounds=30000"]
    started = server.start("reproduce", "--seeds", "1", *words)
    started.until(lambda: list(tmp_path.glob("*/*/0/*/checkpoints/last.ckpt")))
    os.kill(started.pid, signal.SIGINT)
    ended = started.ended()
    assert ended.status == RESUME, ended
    assert "stopped; run the same command to resume" in ended.output
    assert "0 of 1 (1 stopped)" in (tmp_path / next(tmp_path.glob("reproduce-*/results.md"))).read_text()
    (folder,) = tmp_path.glob("reproduce-smoke-*")  # named by what was changed
    assert json.loads((folder / "results.json").read_text())[0]["changes"] == ["rounds: 24 -> 30000"]
    words[-1] = "rounds=8"
    ended = server.start("reproduce", "--seeds", "1", *words).ended(300)
    ended = server.start("reproduce", "--seeds", "2", *words).ended(300)
    assert ended.status == 0, ended
    found = [path for path in tmp_path.glob("reproduce-smoke-*") if path != folder]
    assert [len(homes(path)) for path in found] == [2]
    assert "8 of 24 rounds" in ended.output


HALF = "0/*/checkpoints/round_00000500.ckpt"
"""A checkpoint of the middle of a training."""

ELSEWHERE = "from gan_research.runs import run; run.device_name = lambda device: 'another CPU'"


@pytest.mark.long
@pytest.mark.parametrize("harshly", [False, True])
def test_killed_at_any_instant_no_seed_is_lost_or_doubled(harshly, recipes, server, tmp_path):
    """Kill it after each step that leaves something on the disk; harshly: its training, too, which else ends its round.

    Then let another machine finish it, as the record has to say.
    """
    whole = RECIPE.replace("rounds: 24", "rounds: 3000").replace(
        "checkpoint_every: 4", "checkpoint_every: 500\nkeep_every: 500"
    )
    (recipes / "experiment" / "tiny.yaml").write_text(whole)
    words = ["tiny", "--seeds", "2", "--config-dir", recipes, "--", "pool.runs=1"]
    ended = server.start("reproduce", *words, f"output={tmp_path / 'undisturbed'}").ended(300)
    assert ended.status == 0, ended
    folder = tmp_path / "runs" / "reproduce-paper"
    signs = [f"{trial}/{sign}" for trial in ("000", "001") for sign in ("trial.json", "0/*/run.json", HALF)]
    for sign in ("sweep.json", *signs[:3], "000/0/end.json", *signs[3:]):
        started = server.start("reproduce", *words, f"output={tmp_path / 'runs'}")
        started.until(lambda sign=sign: list(folder.glob(sign)))
        for pid in [*(started.ranks() if harshly else []), started.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        started.ended()
    kept = tmp_path / "kept"
    ended = server.start("reproduce", "--keep", kept, *words, f"output={tmp_path / 'runs'}", patch=ELSEWHERE).ended(300)
    assert ended.status == 0, ended
    other = tmp_path / "undisturbed" / "reproduce-paper"
    assert [path.name for path in sorted(folder.glob("*/trial.json"))] == ["trial.json"] * 2
    assert [len(list(folder.glob(f"{trial}/0/*/run.json"))) for trial in ("000", "001")] == [1, 1]
    for trial, home in homes(folder).items():
        rows = [
            [comparable(row) for row in read_history(path / "history.jsonl")] for path in (home, homes(other)[trial])
        ]
        assert rows[0] == rows[1]
    found, expected = (json.loads((path / "results.json").read_text())[0] for path in (folder, other))
    for key in ("values", "curves", "rounds", "state", "protocol"):
        assert [seed[key] for seed in found["seeds"]] == [seed[key] for seed in expected["seeds"]]
    parts = [seed["parts"] for seed in found["seeds"]]
    assert [part["rounds"] for part in parts[0]] == [[0, 3000]]
    (_, middle), (again, last) = [part["rounds"] for part in parts[1]]
    assert (middle, last) == (again, 3000)
    assert 500 <= middle < 3000
    assert [part["device"] for part in parts[1]] == [expected["seeds"][1]["device"], "another CPU"]
    assert "note: tiny, seed 1: trained in parts: rounds 0 to" in ended.output
    assert "1. tiny, seed 1: trained in parts: rounds 0 to" in (kept / "README.md").read_text()


RULES = """\
  trajectory:
    - {column: largest_mode, statistic: distinct, at_least: 1, why: it is always somewhere}
    - {column: modes, statistic: max, since: 8, at_most: -1, why: it has none}
"""


@pytest.mark.long
def test_a_claim_about_the_course_of_training(recipes, gan, tmp_path):
    text = RECIPE.replace("{num_samples: 100}", "{num_samples: 100, metrics: [modes, largest_mode]}") + RULES
    (recipes / "experiment" / "tiny.yaml").write_text(
        text.replace("reverse_kl: {value: 2.0, spread: 0.5, tolerance: 1.0}, ", "")
    )
    words = ["tiny", "--seeds", "1", "--config-dir", recipes, "--", f"output={tmp_path}", "pool.runs=1"]
    assert gan("reproduce", *words).status == 0
    (found,) = json.loads((tmp_path / "reproduce-paper" / "results.json").read_text())
    assert [verdict["word"] for verdict in found["verdicts"]] == ["not comparable", "reproduced", "not reproduced"]
    assert found["verdicts"][2]["reason"] == "violated by 1 of 1 seeds"
    for seed in found["seeds"]:
        assert [round for round, _ in seed["curves"]["largest_mode"]] == [0, 8, 16, 24]
        assert [round for round, _ in seed["curves"]["modes"]] == [0, 8, 16, 24]
    assert (tmp_path / "reproduce-paper" / "tiny.html").stat().st_size > 10_000
    assert gan("reproduce", *words, "evaluate_every=24").status == 0
    (path,) = tmp_path.glob("reproduce-paper-*/results.json")
    (found,) = json.loads(path.read_text())
    assert {verdict["reason"] for verdict in found["verdicts"]} == {"changed: evaluate_every: 8 -> 24"}


def test_a_record_of_more_seeds_is_not_replaced(recipes, gan, tmp_path):
    words = ["--config-dir", recipes, "--keep", tmp_path / "kept", "--", f"output={tmp_path}", "pool.runs=1"]
    assert gan("reproduce", "tiny", "--seeds", "2", "--budget", "smoke", *words).status == 0
    before = (tmp_path / "kept/records/tiny-smoke.json").read_bytes()
    said = gan("reproduce", "tiny", "--seeds", "1", "--budget", "smoke", *words, "batch_size=20")
    assert said.status == 0
    assert "tiny-smoke.json is not replaced: it has 2 finished seeds, and this result 1" in said.output
    assert (tmp_path / "kept/records/tiny-smoke.json").read_bytes() == before


def test_an_existing_folder_gets_the_config_folder_of_the_command(recipes, gan, tmp_path, monkeypatch):
    bases, other = [], tmp_path / "other"
    shutil.copytree(recipes, other)
    monkeypatch.setattr("gan_research.cli.multirun.take_part", lambda sweep, *_: (bases.append(sweep.base), False))
    for folder, name in ((recipes, "tiny"), (other, "wide")):
        words = [name, "--seeds", "1", "--budget", "smoke", "--config-dir", folder, "--", f"output={tmp_path}"]
        assert gan("reproduce", *words).status == RESUME
    assert bases == [[f"--config-dir={folder}", "budget=smoke"] for folder in (recipes, other)]


def test_a_bad_recipe_or_page_of_others_is_neither_in_the_way_nor_replaced(recipes, gan, one_line, tmp_path):
    for name, text in {
        "empty": "",
        "syntax": "a: [",
        "claimless": "rounds: 3\npublished: 3\n",
        "latin": "# \xff",
    }.items():
        (recipes / "experiment" / f"{name}.yaml").write_text(text, "latin-1")
    said = gan("reproduce", "--list", "wide", "--config-dir", recipes)
    assert said.status == 0, said.error
    assert said.output.splitlines()[1] == "wide: a tiny net finds no mode"
    (tmp_path / "README.md").write_text("mine")
    for names in ([], ["tiny"]):
        one_line(gan("reproduce", *names, "--keep", tmp_path, "--config-dir", recipes), "README.md", "another folder")
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_list(recipes, gan, tmp_path):
    said = gan("reproduce", "--list", "--config-dir", recipes)
    assert said.status == 0
    blocks = [line for line in said.output.splitlines() if not line.startswith(" ")]
    assert {"tiny: a tiny net finds no mode", "wide: a tiny net finds no mode"} < set(blocks)
    assert len(blocks) == 1 + len(claims(recipes))
    said = gan("reproduce", "--list", "wide", "--config-dir", recipes)
    assert said.output.splitlines()[1:] == [
        "wide: a tiny net finds no mode",
        "  published: reverse_kl 2 ± 0.5; modes 0; better modes than tiny (Somebody 2020, table 1)",
        "  budgets: paper 24, smoke 8 rounds",
        "  a seed takes: unknown: estimate it by gan cost wide",
        "  verdict: not run",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--list", "tinny"], "there is no recipe tinny: did you mean 'tiny'?"),
        (["--list", "--keep", "nowhere"], "--keep nowhere: there is no folder nowhere/records, and so no verdict"),
        (["--list", "tiny", "--", "rounds=3"], "--list trains nothing: remove rounds=3"),
        (["tinny"], "there is no recipe tinny: did you mean 'tiny'?"),
        (["modes"], "modes claims nothing"),
        (["tiny", "--seeds", "0"], "--seeds 0: give at least 1"),
        (["tiny", "--budget", "pilot"], "experiment=tiny has no budget pilot: it has paper, smoke"),
        (["tiny", "--", "generator.widht=3"], "there is no generator.widht: did you mean 'generator.width'?"),
        (["tiny", "--", "sweep=optuna"], "sweep=optuna: gan reproduce trains recipes over seeds, without a search"),
        ([], "give recipes: "),
    ],
)
def test_bad_input(recipes, gan, words, message):
    said = gan("reproduce", "--config-dir", recipes, *words)
    assert said.status == 2
    assert said.error.startswith(f"gan: error: {message}")
    assert said.error.count("\n") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{paper: "Somebody 2020, table 1"}', "{files: [a.py]}", "published.source names neither a paper nor"),
        ("num_fake: 100", "num_fakes: 100", "there is no published.evaluation.num_fakes: did you mean 'num_fake'?"),
        ("protocol: 100 samples", "protokol: 100 samples", "there is no published.protokol"),
        ("value: 2.0", "value: high", "published.numbers="),
    ],
)
def test_a_recipe_that_says_too_little_or_nonsense(recipes, gan, old, new, message):
    path = recipes / "experiment" / "tiny.yaml"
    path.write_text(RECIPE.replace(old, new))
    said = gan("reproduce", "--config-dir", recipes, "tiny")
    assert said.status == 2
    assert message in said.error
    assert said.error.count("\n") == 1


def test_a_record_edited_by_hand_is_an_error(gan, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text("{}")
    said = gan("reproduce", "--keep", tmp_path)
    assert said.status == 2
    assert "a.json is no record of a result" in said.error
