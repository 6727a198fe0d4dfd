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


def imported(folder, *names, stubs=None):
    """The modules `names`, imported from a folder, and forgotten, as other projects have modules of their names.

    stubs: modules by name, in place of those of the folder that would need further packages.
    """
    before = set(sys.modules)
    sys.modules.update(stubs or {})
    sys.path.insert(0, str(folder))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name in (stubs or {}) or is_in(folder, sys.modules[name]):
                del sys.modules[name]


def is_in(folder, module):
    """Whether a module, or a package, comes from a folder."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(place and str(place).startswith(str(folder)) for place in places)
