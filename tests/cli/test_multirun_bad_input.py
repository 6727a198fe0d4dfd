"""What can't be a sweep is said in one line, before anything is made."""

import sys

import pytest

BAD = [
    (["loss=hinge"], "nothing is varied: give a key several values (loss=hinge,wasserstein), or leave -m out"),
    (["loss=hinge,minmax"], "there is no loss=minmax: did you mean 'minimax'?"),
    (["generator.widht=1,2"], "did you mean 'generator.width'?"),
    (["generator.width=16,wide"], "generator.width='wide'"),
    (["rounds=int(interval(1,5))"], "rounds is an interval, which a grid can't list: give values, or add sweep=optuna"),
    (["seed=0,1", "resume=auto"], "resume a sweep with gan sweep resume DIR"),
    (["seed=0,1", "sweep=optna"], "there is no sweep=optna: did you mean 'optuna'?"),
    (["seed=0,1", "sweep.trials=3"], "there is no sweep.trials"),
    (["seed=0,1", "pool.runs=0"], "pool.runs=0"),
    (["seed=0,1", "pool.core=1"], "did you mean 'pool.cores'?"),
    (["seed=0,1", "objective=fdi"], "objective=fdi isn't measured: did you mean 'fid'?"),
    (["seed=0,1", "objective=fid", "metrics=none"], "objective=fid isn't measured: nothing is, add metrics=..."),
    (["trainer=auto,cpu"], "trainer can't be varied"),
    (["output=a,b"], "output can't be varied"),
    (["variants={}"], "variants has no variant: give at least one"),
    (["variants={a: loss=hinge, a: loss=minimax}"], "found duplicate key a"),
    (["variants=[losses_equal,losses_equal]"], "has two variants 'equal_non_saturating'"),
    (["variants=losses_equal", "loss=hinge,minimax"], "variant equal_non_saturating sets loss, which the sweep varies"),
    (["variants={a: seed=3}", "seed=0,1"], "variant a sets seed, which the sweep varies"),
    (["variants={a: \"regularizer.r2.weight=1\"}"], "variant a: there is no regularizer.r2.weight"),
    (["variants={a: loss=hing}"], "variant a: there is no loss=hing: did you mean 'hinge'?"),
    (["variants={a: pool.runs=2}"], "variant a: pool.runs=2"),
    (["variants=losses_equal", "variant=equal_hinge,b"], "there is no variant=b"),
    (["sweep.variants={}"], "variants has no variant: give at least one"),
    (["sweep=optuna", "seed=0,1"], "sweep=optuna has nothing to search"),
    (["sweep=optuna", "loss=hinge,minimax", "metrics=none"], "sweep=optuna needs a metric to optimize"),
    (["sweep=optuna", "loss=hinge,minimax", "seed=interval(0,1)"], "seed is an interval: list the seeds"),
    (["sweep=optuna", "loss=hinge,minimax", "sweep.storage=nosql://there"], "no study can be kept in nosql://there"),
    (["sweep=optuna", "loss=hinge,minimax", "sweep.storage=postgresql://a:b@127.0.0.1:1/x"], "postgresql://a:***@127"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_what_cannot_be_swept(words, said, gan, one_line, tmp_path):
    output = [] if words[0].startswith("output=") else [f"output={tmp_path / 'runs'}"]
    one_line(gan("train", "-m", *output, "logger=none", *words), said)
    assert not (tmp_path / "runs").exists()


def test_postgresql_without_its_driver(gan, one_line, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    words = ["sweep=optuna", "loss=hinge,minimax", "sweep.storage=postgresql://there/x", f"output={tmp_path / 'runs'}"]
    one_line(
        gan("train", "-m", "logger=none", *words), "there/x: it needs psycopg: pip install 'gan_research[postgresql]'"
    )
    assert not (tmp_path / "runs").exists()


def test_what_is_about_sweeps_needs_them(gan, one_line):
    one_line(gan("train", "sweep=optuna"), "sweep=optuna is a setting of a sweep: add -m")
    one_line(gan("train", "pool.runs=2"), "pool.runs=2 is a setting of a sweep: add -m")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["go"], "there is no gan sweep go: "),
        (["resume"], "gan sweep resume: give the folder of a sweep"),
        (["run"], "gan sweep run: give a file"),
        (["resume", "{}"], "is not the folder of a sweep: it has no sweep.json"),
        (["status", "{}"], "is not the folder of a sweep: it has no sweep.json"),
        (["resume", "{}/broken"], "sweep.json can't be read"),
        (["status", "{}/broken", "x"], "'x': gan sweep status takes the folder of a sweep, and nothing else"),
        (["run", "{}/none.yaml"], "there is no file or folder "),
        (["best", "{}"], "is not the folder of a sweep: it has no sweep.json"),
        (["best", "{}", "--export", "{}/a.txt"], "a.txt: give a name that ends in .yaml"),
        (["best", "{}", "--export", "{}/none/a.yaml"], "there is no folder "),
        (["run", "{}/broken/sweep.json", "--count", "0"], "--count 0: give a number of trials"),
        (["run", "{}/broken/sweep.json", "--count=x"], "--count x: give a number of trials"),
        (["run", "{}/broken/sweep.json", "--count"], "--count : give a number of trials"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_gan_sweep_cannot_do(words, said, gan, one_line, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.json").write_text('{"name": "a"}')
    one_line(gan("sweep", *(word.format(tmp_path) for word in words)), said)


def test_a_sweep_goes_on_as_it_is(server, tmp_path, gan, one_line, monkeypatch):
    tiny = ("rounds=1", "metrics=none", "logger=none", "generator.width=16", "discriminator.width=16")
    assert server("train", "-m", "seed=0,1", f"output={tmp_path}", *tiny).status == 0
    (folder,) = tmp_path.iterdir()
    one_line(gan("sweep", "resume", folder, "rounds=2"), "rounds=2: of a resumed sweep only pool.runs")
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():  # as torchrun sets them
        monkeypatch.setenv(name, value)
    result = gan("sweep", "resume", folder)
    assert "start it once, not by torchrun or srun" in result.error
