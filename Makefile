PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
QUICKSTART := output/quickstart
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: help quickstart test test-all lint docs bench clean

help:
	@echo "make quickstart  install, make synthetic vehicles, train, evaluate, draw (12 minutes with AVX2, and the downloads)"
	@echo "make test        install, lint, run the tests but the slow ones (2 cores with AVX-512: 9 minutes)"
	@echo "make test-all    install, lint, run all tests, three minutes of spoiled files a format among them"
	@echo "make lint        check style"
	@echo "make docs        build the documentation as a site; a broken link is an error; output/site/index.html"
	@echo "make bench       measure speed; writes output/bench/speed.json"
	@echo "make clean       remove .venv and output/quickstart"

$(INSTALLED): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,docs,train]"
	@touch $@

# Every step continues where an interrupted one stopped; a finished quickstart evaluates again.
quickstart: $(INSTALLED)
	$(BIN)/sav synth --out $(QUICKSTART)/data/synthetic --train 2000 --valid 200 --seed 0
	$(BIN)/python datasets/prepare_vehicleseg10k.py --root $(QUICKSTART)/data/synthetic
	$(BIN)/python projects/SAV/train_net.py --config-file configs/synthetic/SAV-EffNetLite0.yaml --resume \
		DATASETS.ROOT $(QUICKSTART)/data OUTPUT_DIR $(QUICKSTART)
	$(BIN)/sav predict "$(QUICKSTART)/data/synthetic/images/valid/00000200[1-4].jpg" --overwrite \
		--output $(QUICKSTART)/shipped
	@echo
	@echo "The shipped model's answers to four of the photos are in $(QUICKSTART)/shipped."
	@echo "Done. Look at $(QUICKSTART)/predictions.png; all figures are in $(QUICKSTART)/results.json."
	@echo "Next: $(BIN)/sav predict PHOTO.jpg --model $(QUICKSTART) --output output/predictions"
	@echo "      train on your own vehicles: docs/own_photos.md"

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "The site is in output/site; open index.html."

bench: $(INSTALLED)
	$(BIN)/python benchmarks/speed.py --output output/bench/speed.json

clean:
	rm -rf $(VENV) $(QUICKSTART)
