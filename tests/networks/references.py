"""The code of papers, for tests that run it; it isn't part of this repository."""

import importlib
import os
import sys
from pathlib import Path

import pytest


def reference(name):
    """The folder `name` in the folder that GAN_RESEARCH_REFERENCES names; without it the test is skipped."""
    folder = Path(os.environ.get("GAN_RESEARCH_REFERENCES", "")) / name
    if "GAN_RESEARCH_REFERENCES" not in os.environ or not folder.is_dir():
        pytest.skip(f"GAN_RESEARCH_REFERENCES names no folder that contains {name}")
    return folder


def imported(folder, *names):
    """The modules `names`, imported from a folder, and forgotten, as other projects have modules of their names."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
