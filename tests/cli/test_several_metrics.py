"""Several evaluations in one run: metrics=[digits,parzen]."""

import json

import pytest

from gan_research.config.compose import compose_train
from gan_research.config.schema import check
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import read_history

TWO = ("metrics=[auto,parzen]", "metrics.digits.num_samples=100", "metrics.parzen.num_samples=100")


@pytest.fixture(scope="module")
def two(tmp_path_factory, train, the_run):
    """A run of 20 rounds, the digits measured every 10, Parzen's likelihood every 4. Don't change it."""
    output = tmp_path_factory.mktemp("two")
    result = train(output, *TWO, "metrics.parzen.every=4", "best=parzen")
    assert result.status == 0, result.error
    return the_run(output)


def measured(run):
    """Column -> {round: (value, the name of the extractor)}."""
    found = {"fid": {}, "parzen": {}}
    for row in read_history(run / "history.jsonl"):
        for name in found:
            if f"metrics/{name}" in row:
                found[name][row["round"]] = row[f"metrics/{name}"], row["protocol"]["extractor"]
    return found


def test_each_is_logged_by_its_own_protocol_at_its_own_interval(two):
    found = measured(two)
    assert {name: list(values) for name, values in found.items()} == {
        "fid": [0, 10, 20],
        "parzen": [0, 4, 8, 12, 16, 20],
    }
    assert {name for _, name in found["fid"].values()} == {"classifier-digits"}
    assert {name for _, name in found["parzen"].values()} == {"values"}
    assert len(json.loads((two / "protocols.json").read_text())) == 2
    best = max(found["parzen"], key=lambda round: found["parzen"][round][0])
    assert (two / "checkpoints" / "best_parzen.ckpt").is_file()
    assert best == 20 or not (two / "checkpoints" / "best_parzen.ckpt").samefile(two / "checkpoints" / "last.ckpt")


def test_they_are_evaluated_listed_and_compared_later(two, gan, tmp_path, rows):
    result = gan("evaluate", two / "checkpoints" / "last.ckpt", "--json", tmp_path / "numbers.json")
    assert result.status == 0, result.error
    numbers = [one["metrics"] for one in json.loads((tmp_path / "numbers.json").read_text())["evaluations"]]
    found = measured(two)
    assert [next(iter(one)) for one in numbers] == ["fid", "parzen"]
    assert numbers[0]["fid"] == pytest.approx(found["fid"][20][0], rel=1e-9)
    assert numbers[1]["parzen"] == pytest.approx(found["parzen"][20][0], rel=1e-9)
    (entry,) = json.loads(gan("ls", two, "--json").output)
    assert (entry["metric"], entry["value"]) == ("parzen", found["parzen"][20][0])  # best=parzen
    compared = gan("compare", two, "--no-html", "--json", tmp_path / "all.json")
    assert compared.status == 0, compared.error
    content = json.loads((tmp_path / "all.json").read_text())
    for name in ("fid", "parzen"):
        (value,) = content["summaries"][name]["non_saturating"]["values"].values()
        assert value == found[name][20][0]


def test_a_resumed_run_measures_as_before_and_may_measure_others(tmp_path, train, gan, the_run, two):
    assert train(tmp_path, *TWO, "metrics.parzen.every=4", "best=parzen", "rounds=10").status == 0
    run = the_run(tmp_path)
    result = gan("train", f"resume={run}", "rounds=20")
    assert result.status == 0, result.error
    assert "resumes after round 10 of 20" in result.output
    found = measured(run)
    for name, values in measured(two).items():
        assert {round: found[name][round] for round in values} == values
    quiet = gan(
        "train",
        f"resume={run}",
        "rounds=22",
        "metrics=[digits]",
        "metrics.digits.num_samples=100",
        "best=auto",
        "--quiet",
    )
    assert quiet.status == 0, quiet.error
    assert list(measured(run)["fid"])[-1] == 22
    assert list(measured(run)["parzen"])[-1] == 20
    assert quiet.output.startswith(f"run {run}\n")
    assert not {"data", "resumes", "round"} & {line.partition(" ")[0] for line in quiet.output.splitlines()}
    assert "fid" in quiet.output
    assert "parzen" not in quiet.output  # measured before, in other rounds


def test_a_list_of_one_is_named_and_a_single_choice_is_not():
    single, named = (compose_train([f"metrics={name}"]).config["metrics"] for name in ("digits", "[digits]"))
    assert named == {"digits": single}
    assert (
        compose_train(["metrics=[]"]).config["metrics"] is None is compose_train(["metrics=[none]"]).config["metrics"]
    )
    composition = compose_train(["metrics=[parzen,auto]"])
    assert list(composition.config["metrics"]) == ["parzen", "digits"]
    assert composition.chosen["metrics"] == "parzen+digits"
    assert not composition.auto_metrics


def test_an_experiment_may_choose_several(tmp_path):
    (tmp_path / "experiment").mkdir()
    chosen = "defaults:\n  - override /metrics: [digits, parzen]\n"
    text = f"# @package _global_\n# two\n{chosen}metrics:\n  parzen:\n    num_samples: 70\n"
    (tmp_path / "experiment" / "ours.yaml").write_text(text)
    config = compose_train(["experiment=ours", "metrics.digits.num_samples=80"], tmp_path).config
    assert {name: node["num_samples"] for name, node in config["metrics"].items()} == {"digits": 80, "parzen": 70}
    assert compose_train(["experiment=ours", "metrics=points"], tmp_path).config["metrics"]["metrics"] == [
        "sliced_wasserstein"
    ]


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["metrics=[digits,parzn]"], ["metrics=parzn", "'parzen'"]),
        (["metrics=[digits,parzen]", "metrics.num_samples=100"], ["metrics.digits.num_samples"]),
        (["metrics=[digits,parzen]", "metrics.points.seed=1"], ["metrics.points is set but not chosen"]),
        (["metrics=[digits,parzen]", "metrics.parzen.seeed=1"], ["metrics.parzen.seeed", "'metrics.parzen.seed'"]),
        (["metrics=[digits,parzen]", "metrics.parzen.every=0"], ["metrics.parzen.every=0"]),
    ],
)
def test_what_does_not_fit_is_told(overrides, parts):
    with pytest.raises(UserError) as error:
        compose_train(overrides)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("damaged", [{"digits": 3}, {"digits": {}}, {"digits": {"num_samples": 100}}])
def test_a_damaged_config_is_one_line(damaged):
    with pytest.raises(UserError, match="_target_"):
        check(compose_train(["metrics=none"]).config | {"metrics": damaged})


def test_columns_that_clash_are_told_before_there_is_a_folder(tmp_path, train, gan, one_line):
    one_line(train(tmp_path / "runs", "metrics=[digits,mnist]"), "both measure fid, inception_score, rarest_class")
    assert not (tmp_path / "runs").exists()
    sweep = ("train", "-m", "seed=0,1", f"output={tmp_path / 'runs'}", "logger=none", *TWO[:1], "objective=fids")
    one_line(gan(*sweep), "objective=fids", "'fid'")
