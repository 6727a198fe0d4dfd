"""Training stays bit for bit what it was: weights, buffers, optimizers and logged terms after 10 rounds."""

import json
import platform

import pytest
from configurations import CONFIGURATIONS
from hashes import ENVIRONMENT, GOLDEN, VERSION, kind_of_cpu, trained
from warm import Server

KNOWN = json.loads(GOLDEN.read_text())

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.system() != "Linux", reason="written on x86-64 Linux"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("golden"), **ENVIRONMENT)
    yield server
    server.close()


@pytest.fixture(scope="module")
def hashes():
    """The hashes of this torch on this kind of CPU; None if they aren't known."""
    return KNOWN["hashes"].get(VERSION, {}).get(kind_of_cpu())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_training_is_bit_equal(name, hashes, server, tmp_path):
    found, terms = trained(name, server, tmp_path)
    tolerance = 1e-2 if "bf16" in CONFIGURATIONS[name] else 1e-4
    assert terms == pytest.approx(KNOWN["terms"][name], rel=tolerance, abs=tolerance)
    if hashes is None:
        pytest.skip("no hashes for this torch and CPU: write them by tests/golden/hashes.py on the commit before")
    assert found == hashes[name]


def test_every_configuration_is_known():
    for hashes in [known for of_torch in KNOWN["hashes"].values() for known in of_torch.values()]:
        assert hashes.keys() == CONFIGURATIONS.keys()
    assert KNOWN["terms"].keys() == CONFIGURATIONS.keys()
