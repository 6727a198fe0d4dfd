"""Training stays bit for bit what it was: weights, buffers, optimizers and logged terms after 10 rounds."""

import json

import pytest
from configurations import CONFIGURATIONS
from hashes import ENVIRONMENT, GOLDEN, VERSION, hashes, supported
from warm import Server

VERSIONS = json.loads(GOLDEN.read_text())

pytestmark = [
    pytest.mark.skipif(not supported(), reason="the hashes are those of x86-64 Linux"),
    pytest.mark.skipif(
        VERSION not in VERSIONS,
        reason=f"no hashes for torch {VERSION}: write them by tests/golden/hashes.py on the commit before",
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("golden"), **ENVIRONMENT)
    yield server
    server.close()


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_training_is_bit_equal(name, server, tmp_path):
    assert hashes(name, server, tmp_path) == VERSIONS[VERSION][name]


def test_every_configuration_has_a_hash():
    assert VERSIONS[VERSION].keys() == CONFIGURATIONS.keys()
