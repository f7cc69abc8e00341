r"""What vehicle crops and tiles give: photos shrunk on a larger ground, with and without them.

A photo that is shrunk to a third lies, at its full number of pixels, somewhere on a ground that is
three times as wide and high. So nothing is lost but what the model's canvas loses. The ground is
grey, or a photo without a vehicle. With ``--together`` several photos lie on one ground; with
``--post`` a grey post hides the middle of each::

    python benchmarks/crops.py --model RUN --dataset dsmlr_valid --shrunk 1 3 6 \
        --grounds no_vehicle_valid --output output/bench/crops
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tabulate import tabulate
from tqdm import tqdm

from sav.bench.runs import load_trained
from sav.d2 import DatasetCatalog, MetadataCatalog
from sav.data.annotations import load_instance_codes
from sav.data.registration import register_part_datasets
from sav.engine.evaluate import evaluate, ready_to_predict
from sav.formats.images import read_rgb
from sav.formats.masks import decode_codes, encode_mask, mask_box

GREY = 127


def shrink_all(
    name: str, factor: int, folder: Path, *, grounds: Sequence[str], together: int, post: float
) -> Path:
    """Write a data set's photos on larger grounds; returns its annotation file.

    Args:
        name: of the data set.
        factor: of the ground's sides over the photo's.
        folder: gets the photos.
        grounds: files of photos, of which one is drawn for each new photo; none for grey.
        together: photos on one ground.
        post: width of a grey post in front of each photo's middle, as a share of its width.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    every = DatasetCatalog.get(name)
    groups = [every[start : start + together] for start in range(0, len(every), together)]
    for number, records in enumerate(tqdm(groups, desc=f"1/{factor}"), 1):
        rng = np.random.default_rng([factor, number])
        photos = [read_rgb(record["file_name"]) for record in records]
        height, width = np.max([photo.shape[:2] for photo in photos], axis=0).tolist()
        ground = np.full((factor * height, factor * width, 3), GREY, np.uint8)
        if grounds:
            behind = read_rgb(grounds[rng.integers(len(grounds))])
            cv2.resize(behind, ground.shape[1::-1], dst=ground)
        places = _places(rng, factor, (height, width), len(photos))
        pairs = zip(records, photos, places, strict=True)
        for first_vehicle, (record, photo, (top, left)) in zip(count(0, 100), pairs):
            place = slice(top, top + photo.shape[0]), slice(left, left + photo.shape[1])
            ground[place] = photo
            middle, half = left + photo.shape[1] / 2, post * photo.shape[1] / 2
            hidden = place[0], slice(round(middle - half), round(middle + half))
            ground[hidden] = GREY
            annotations += _moved(
                record, number, ground.shape[:2], place=place, hidden=hidden, first=first_vehicle
            )
        cv2.imwrite(str(folder / "images" / f"{number}.png"), ground[..., ::-1])
        size = {"height": factor * height, "width": factor * width}
        images.append({"id": number, "file_name": f"{number}.png", **size})
    names = MetadataCatalog.get(name).thing_classes
    contents = {
        "info": {"ontology": MetadataCatalog.get(name).ontology, "image_root": "images"},
        "images": images,
        "annotations": [{**a, "id": i} for i, a in enumerate(annotations, 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(contents), encoding="utf-8")
    return path


def _places(
    rng: np.random.Generator, factor: int, size: tuple[int, int], photos: int
) -> list[tuple[int, int]]:
    """Top and left of photos: one lies anywhere, several in cells of their size (height, width)."""
    if photos == 1:
        return [tuple(int(rng.integers(0, (factor - 1) * side + 1)) for side in size)]
    cells = rng.permutation(factor**2)[:photos].tolist()
    return [(cell // factor * size[0], cell % factor * size[1]) for cell in cells]


def _moved(
    record: dict[str, Any],
    number: int,
    size: tuple[int, int],
    *,
    place: tuple[slice, slice],
    hidden: tuple[slice, slice],
    first: int,
) -> list[dict[str, Any]]:
    codes, classes, vehicles = load_instance_codes(record)
    found = []
    for code, class_id, vehicle in zip(codes, classes.tolist(), vehicles.tolist(), strict=True):
        mask = np.zeros(size, np.uint8)
        (mask[place],) = decode_codes([code], record["height"], record["width"])
        mask[hidden] = 0
        if not mask.any():
            continue
        left, top, right, bottom = mask_box(mask)
        found.append(
            {
                "image_id": number,
                "category_id": class_id + 1,
                "segmentation": encode_mask(mask),
                "bbox": [left, top, right - left, bottom - top],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "vehicle_id": first + vehicle,
            }
        )
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="run folder")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a data set of its config")
    parser.add_argument("--output", type=Path, default=Path("output/bench/crops"))
    parser.add_argument(
        "--shrunk", type=int, nargs="+", default=(1, 2, 3), metavar="N", help="to 1/N"
    )
    parser.add_argument("--together", type=int, default=1, metavar="K", help="photos on one ground")
    parser.add_argument("--grounds", metavar="NAME", help="a data set of its config; default: grey")
    parser.add_argument(
        "--post", type=float, default=0.0, metavar="W", help="in front of each photo"
    )
    parser.add_argument("--below", type=float, default=0.6, help="MODEL.SAV.TEST.CROPS")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config options")
    args = parser.parse_args()
    if not 1 <= args.together <= min(args.shrunk) ** 2:
        parser.error(f"--together {args.together}: from 1 to the square of --shrunk")
    cfg, _ = load_trained(args.model, args.opts)
    register_part_datasets(cfg)
    grounds = [r["file_name"] for r in DatasetCatalog.get(args.grounds)] if args.grounds else []
    rows = []
    for factor in args.shrunk:
        file = shrink_all(
            args.dataset,
            factor,
            args.output / f"shrunk{factor}",
            grounds=grounds,
            together=args.together,
            post=args.post,
        )
        for below, tiles in ((0.0, False), (args.below, False), (args.below, True)):
            options = [
                *args.opts,
                *("DATASETS.TRAIN", "()", "DATASETS.TRAIN_SHARES", "()"),
                *("DATASETS.TEST", f"('shrunk{factor}',)"),
                *(f"DATASETS.PARTS.shrunk{factor}", str(file.resolve())),
                *("MODEL.SAV.TEST.CROPS", str(below), "MODEL.SAV.TEST.TILES", str(tiles)),
                *("OUTPUT_DIR", str(args.output / f"shrunk{factor}_{below}_{tiles}")),
            ]
            cfg, model = load_trained(args.model, options)
            with ready_to_predict(cfg, model):
                start = time.perf_counter()
                found = evaluate(cfg, model)[f"shrunk{factor}"]
                seconds = time.perf_counter() - start
            figures = (("parts", "mIoU"), ("segm", "AP"), ("bbox", "AP"), ("vehicles", "PQ"))
            rows.append(
                [
                    f"1/{factor}",
                    below,
                    tiles,
                    *(found[t][m] for t, m in figures),
                    seconds / len(DatasetCatalog.get(f"shrunk{factor}")),
                ]
            )
    titles = [
        "photos at",
        "CROPS",
        "TILES",
        "mIoU",
        "mask AP",
        "box AP",
        "vehicles' PQ",
        "s a photo, evaluation included",
    ]
    print(tabulate(rows, titles, tablefmt="github", floatfmt=".2f"))


if __name__ == "__main__":
    main()
