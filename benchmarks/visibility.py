"""Counts which parts vehicles show from each side: makes ``sav/inspection/priors.json``.

The shipped file is of renderings::

    sav synth --ontology vehicle --out synth --train 2000 --valid 0 --size 224
    sav prepare vehicleseg10k --root synth --ontology vehicle --splits train --out synth/coco
    python benchmarks/visibility.py synth/coco/instances_train.json --output priors.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sav.inspection.priors import Visibility
from sav.ontology import load_ontology


def main() -> None:
    """Count, and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="part annotations")
    parser.add_argument("--ontology", default="vehicle", help="of the files; %(default)s")
    parser.add_argument("--source", default="renderings", help="what the files are, in words")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    args = parser.parse_args()
    Visibility.mine(args.files, load_ontology(args.ontology), args.source).save(args.output)


if __name__ == "__main__":
    main()
