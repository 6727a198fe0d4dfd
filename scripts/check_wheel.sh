#!/bin/sh
# Build the wheel, install it into a fresh environment, and run it outside of the checkout: sh scripts/check_wheel.sh
#
# It proves that the wheel has all files of the package and of conf/, that its dependencies suffice without an extra, and that
# gan trains, compares, samples, and reads a folder of a user's own choices there. uv links packages from its cache, which
# `make install` has filled, so the environment takes seconds. PYTHON=VERSION: another Python than that of .venv.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
uv=${UV:-$checkout/.venv/bin/uv}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
unset PYTHONPATH
export WANDB_MODE=offline OMP_NUM_THREADS=1 GAN_RESEARCH_CACHE="$place/cache"

"$uv" build --quiet --wheel --out-dir "$place" .
"$uv" venv --quiet --python "${PYTHON:-.venv/bin/python}" "$place/env"
"$uv" pip install --quiet --python "$place/env/bin/python" --constraint constraints.txt "$place"/*.whl
"$uv" pip check --quiet --python "$place/env/bin/python"
PATH=$place/env/bin:$PATH
cd "$place"

git -C "$checkout" ls-files --cached --others --exclude-standard gan_research conf >expected.txt
python - ./*.whl <<'END'
import sys, zipfile
from pathlib import Path

expected = {name.removeprefix("gan_research/") for name in Path("expected.txt").read_text().split()}
found = {name.removeprefix("gan_research/") for name in zipfile.ZipFile(sys.argv[1]).namelist() if ".dist-info/" not in name}
assert found == expected, f"the wheel and the checkout differ in {sorted(found ^ expected)}"
print(f"check_wheel: the wheel has all {len(found)} files")
END

mkdir -p mine/loss
printf '# squared margins in the loss of D\n_target_: squared.Squared\n' >mine/loss/squared.yaml
cat >mine/squared.py <<'END'
from gan_research.losses import Hinge


class Squared(Hinge):
    """D: max(0, 1 - D(x))^2 + max(0, 1 + D(G(z)))^2; G: -D(G(z))."""

    def real_term(self, logits):
        return super().real_term(logits).square()
END

gan train rounds=200 evaluate_every=100
PYTHONPATH=mine gan train --config-dir mine loss=squared rounds=200 evaluate_every=100 logger=none
gan compare runs --json compare.json
python - runs/*non_saturating* <<'END'
import json, sys
from pathlib import Path

from gan_research import load

groups = json.loads(Path("compare.json").read_text())["groups"]
assert groups.keys() == {"squared", "non_saturating"}, groups
assert load(sys.argv[1]).sample(4).shape == (4, 1, 8, 8)
END
echo "check_wheel: $(python --version) trains, compares and samples outside of the checkout, with a loss of the user's own"
