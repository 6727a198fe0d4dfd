"""Execute the notebook in an empty folder, and keep its outputs: python scripts/run_notebook.py"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "quickstart.ipynb"


def run_notebook(folder: Path) -> nbformat.NotebookNode:
    """Execute the notebook in `folder` with the Python and the `gan` of this environment; return it with outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    path = os.environ["PATH"]
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, resources=where, kernel_name="python3", timeout=900, coalesce_streams=True).execute()
    finally:
        os.environ["PATH"] = path
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        for output in cell.get("outputs", []):
            if isinstance(svg := output.get("data", {}).get("image/svg+xml"), str):
                output["data"]["image/svg+xml"] = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        nbformat.write(run_notebook(Path(empty)), NOTEBOOK)
