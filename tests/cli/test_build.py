"""What is made of a config node."""

from gan_research.config.build import make


def test_lists_of_a_config_reach_an_optimizer_as_lists_since_they_end_up_in_checkpoints():
    node = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3, "betas": [0.0, 0.99]}
    assert type(make(node).keywords["betas"]) is list


def test_no_node_makes_nothing():
    assert make(None) is None
    assert make({}) is None
