"""Many cells are played in one process group."""

import pytest
import torch
from together import free_port, work
from torch.multiprocessing import start_processes


@pytest.fixture(scope="session")
def together(tmp_path_factory):
    """together(size, function, *arguments): what each of `size` processes of one group returns, in order of rank.

    They are forked from a server that has imported what takes seconds to import (../conftest.py).
    """

    def run(size, function, *arguments):
        folder = tmp_path_factory.mktemp("together")
        shared = size, free_port(), function, folder, arguments
        start_processes(work, shared, nprocs=size, start_method="forkserver")
        return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]

    return run
