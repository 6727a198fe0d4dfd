# make demo: install, and train a GAN on handwritten digits.  make test: install, and run the tests.
.PHONY: install demo test test-all lint wheel docs constraints clean

STAMP := .venv/.installed

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@sh scripts/install.sh
	@touch $@

# One thread: networks this small gain little from two, and lose much where something else wants the cores.
demo: install
	OMP_NUM_THREADS=1 .venv/bin/gan train

test: install
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 -m "not long"

test-all: install
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2

lint: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The wheel, installed and run in a fresh environment outside of the checkout.
wheel: install
	sh scripts/check_wheel.sh

# The pages of docs/ and the reference of the API, in site/; a dead link or an unreferenced page is an error.
docs: install
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet

# Newest versions that the ranges of pyproject.toml allow, for every supported Python.
constraints: install
	.venv/bin/uv pip compile -q pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
	  --no-emit-index-url --no-annotate --no-header -o constraints.txt

clean:
	rm -rf .venv dist site
