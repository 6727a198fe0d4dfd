"""The code of papers, for tests that run it; it isn't part of this repository."""

import os
from pathlib import Path

import pytest


def reference(name):
    """The folder `name` in the folder that GAN_RESEARCH_REFERENCES names; without it the test is skipped."""
    folder = Path(os.environ.get("GAN_RESEARCH_REFERENCES", "")) / name
    if "GAN_RESEARCH_REFERENCES" not in os.environ or not folder.is_dir():
        pytest.skip(f"GAN_RESEARCH_REFERENCES names no folder that contains {name}")
    return folder
