"""gan train freeze_discriminator=N: from whose weights, and how many blocks there are."""

import torch


def weights(state, run):
    return {name: value for name, value in state(run)["state_dict"].items() if name.startswith("discriminator.body.0")}


def test_a_run_keeps_the_first_weights_of_another(finished, train, the_run, state, gan, one_line, tmp_path):
    words = ("metrics=none", f"init={finished}", "freeze_discriminator=1")
    assert train(tmp_path / "runs", *words, "rounds=10").status == 0
    run = the_run(tmp_path / "runs")
    first = weights(state, finished)
    assert len(first) == 2
    assert all(torch.equal(value, first[name]) for name, value in weights(state, run).items())
    one_line(gan("train", f"resume={run}", "freeze_discriminator=2", "rounds=20"), "can't change the game")
    assert gan("train", f"resume={run}", "rounds=20").status == 0
    assert all(torch.equal(value, first[name]) for name, value in weights(state, run).items())


def test_impossible_numbers_create_nothing(finished, train, one_line, tmp_path):
    init = f"init={finished}"
    for words, parts in {
        ("freeze_discriminator=1",): ("freeze_discriminator=1", "set init="),
        ("freeze_discriminator=1", "--cfg"): ("freeze_discriminator=1", "set init="),
        (init, "freeze_discriminator=3"): ("freeze_discriminator=3", "give 0 to 2"),
    }.items():
        one_line(train(tmp_path / "runs", "metrics=none", *words), *parts)
    assert not (tmp_path / "runs").exists()
