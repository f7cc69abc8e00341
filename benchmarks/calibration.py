"""How honest scores are, and the line that mends them.

Half of the photos choose the line, the others are judged by it, and the other way round; the line
for MODEL.SAV.TEST.CALIBRATION is that of all. The model must not have learned from the photos, and
predict them with the calibration (1.0, 0.0)::

    sav eval --model RUN OUTPUT_DIR output/calibration MODEL.SAV.TEST.CALIBRATION "(1.0, 0.0)"
    python benchmarks/calibration.py TRUTH.json \
        output/calibration/inference/DATASET/coco_instances_results.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from tabulate import tabulate

from sav.evaluation.calibration import along, calibration, fit_line
from sav.evaluation.matching import Matches, Sides, match
from sav.evaluation.photo import mask_ious


def read_matches(truth: Path, predictions: Path) -> list[Matches]:
    """What the detections of each photo are worth."""
    coco = COCO(str(truth))
    found = coco.loadRes(str(predictions))
    number = {category: row for row, category in enumerate(sorted(coco.getCatIds()))}
    return [_match_photo(coco, found, photo, number) for photo in coco.getImgIds()]


def _match_photo(coco: COCO, results: COCO, photo: int, number: dict[int, int]) -> Matches:
    truth, found = coco.imgToAnns[photo], results.imgToAnns[photo]
    crowd = np.array([bool(a.get("iscrowd", 0)) for a in truth], dtype=bool)
    sides = Sides(
        np.array([number[a["category_id"]] for a in found], dtype=np.int64),
        np.array([a["score"] for a in found], dtype=np.float64),
        np.array([a["area"] for a in found], dtype=np.float64),
        np.array([number[a["category_id"]] for a in truth], dtype=np.int64),
        np.array([a["area"] for a in truth], dtype=np.float64),
        crowd,
    )
    ours = [results.annToRLE(a) for a in found]
    theirs = [coco.annToRLE(a) for a in truth]
    return match(mask_ious(ours, theirs, crowd), sides, len(number))


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", type=Path, help="part annotations of the photos")
    parser.add_argument("predictions", type=Path, help="COCO results")
    args = parser.parse_args()
    photos = read_matches(args.truth, args.predictions)
    halves = photos[::2], photos[1::2]
    lines = [fit_line(half) for half in halves]
    judged = [*along(halves[1], lines[0]), *along(halves[0], lines[1])]
    figures = {"as they are": calibration(photos), "by the other half's line": calibration(judged)}
    rows = [{"scores": name, **found} for name, found in figures.items()]
    print(tabulate(rows, "keys", tablefmt="github", floatfmt=".1f"))
    named = {"one half": lines[0], "the other half": lines[1], "all": fit_line(photos)}
    for name, (slope, intercept) in named.items():
        print(f"{name}: ({slope:.2f}, {intercept:.2f})")


if __name__ == "__main__":
    main()
