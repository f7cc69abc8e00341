"""``sav gallery``: build a gallery, inspect it, query it for the neighbours of a photo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from sav.commands.help import examples
from sav.commands.json_output import add_json_argument, check_own, json_output, to_json
from sav.commands.options import (
    add_annotations_argument,
    add_device_argument,
    add_images_argument,
    add_output_argument,
    add_overwrite_argument,
    add_run_arguments,
)
from sav.commands.stdin import read_photo_or_stdin
from sav.errors import SAVError
from sav.files import check_folder, check_new
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, WEIGHTS_FILE

if TYPE_CHECKING:
    from sav.d2 import CfgNode
    from sav.predict.predictor import Neighbour

FORMAT = "sav-gallery"
NEIGHBOURS_FORMAT = "sav-neighbours"
_BUILD = (
    "sav gallery build --model output/quickstart --annotations vans/instances_train.json --add",
    "sav gallery build --model output/quickstart --annotations vans/instances_train.json "
    "--output vans/gallery",
    "sav gallery build --model output/quickstart --datasets synthetic_train --overwrite",
)
_INSPECT = ("sav gallery inspect output/quickstart", "sav gallery inspect vans/gallery --json")
_QUERY = (
    "sav gallery query photo.jpg --model output/quickstart",
    "sav gallery query - --output neighbours.png --json < photo.jpg",
)
EXAMPLES = (_BUILD[0], _INSPECT[0], _QUERY[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions; :func:`run` executes what was chosen."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    summary = "encode annotated photos into a gallery, with the weights of a finished training"
    build = actions.add_parser("build", help=summary, description=summary, **examples(*_BUILD))
    build.set_defaults(action=_build)
    _add_build(build)
    summary = "print what a gallery holds: data sets, classes, fingerprint, size"
    inspect = actions.add_parser(
        "inspect", help=summary, description=summary, **examples(*_INSPECT)
    )
    inspect.set_defaults(action=_inspect)
    inspect.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a gallery, or the run folder that has one"
    )
    add_json_argument(inspect)
    summary = "draw a photo and the exemplars of the gallery that the model uses for it"
    query = actions.add_parser("query", help=summary, description=summary, **examples(*_QUERY))
    query.set_defaults(action=_query)
    query.add_argument("photo", type=Path, metavar="PHOTO", help="- for one on the standard input")
    add_run_arguments(query)
    query.add_argument(
        "--neighbours", type=int, metavar="K", help="how many (default: as many as the model uses)"
    )
    query.add_argument(
        "--no-copies", action="store_true", help="leave out copies of the photo, as training does"
    )
    picture = {"default": Path("neighbours.png"), "metavar": "FILE"}
    add_output_argument(query, "picture to write", **picture)
    add_overwrite_argument(query)
    add_json_argument(query)


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    args.action(args)


def _add_build(parser: argparse.ArgumentParser) -> None:
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--model", type=Path, metavar="RUN_FOLDER", help="OUTPUT_DIR of a finished training"
    )
    model.add_argument(
        "--config-file", type=Path, metavar="FILE", help="a config that names MODEL.WEIGHTS"
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--datasets",
        nargs="+",
        metavar="NAME",
        help="data sets of the config (default: DATASETS.TRAIN)",
    )
    add_annotations_argument(data, "part annotations, as 'sav prepare' writes them")
    add_images_argument(parser, help="with --annotations: folder of its photos, if moved")
    name = "with --annotations: of the data set (default: FOLDER/FILE without its ending)"
    parser.add_argument("--name", metavar="NAME", help=name)
    add_output_argument(
        parser, "the gallery (default: RUN_FOLDER/gallery, where 'sav predict' finds it)"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--add", action="store_true", help="keep what the gallery has; the same data set is renewed"
    )
    add_overwrite_argument(existing)
    add_device_argument(parser)
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config options")


def _build(args: argparse.Namespace) -> None:
    from sav.config import load_config  # noqa: PLC0415
    from sav.data.registration import register_part_datasets  # noqa: PLC0415
    from sav.engine.gallery import build_gallery  # noqa: PLC0415
    from sav.gallery.files import GALLERY_FILE, save_gallery  # noqa: PLC0415
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    cfg = load_config(args.config_file or args.model / CONFIG_FILE, args.opts)
    if args.config_file and not cfg.MODEL.WEIGHTS:
        raise SAVError(f"{args.config_file}: give MODEL.WEIGHTS, whose encoder is to be used")
    weights = Path(cfg.MODEL.WEIGHTS) if args.config_file else args.model / WEIGHTS_FILE
    if not cfg.MODEL.SAV.CONTEXT.ENABLED:
        raise SAVError("MODEL.SAV.CONTEXT.ENABLED is False: this model looks into no gallery")
    output = args.output or (args.model and args.model / GALLERY_FOLDER)
    if output is None:
        raise SAVError("--config-file: say with --output where the gallery is to be written")
    exists = (output / GALLERY_FILE).is_file()
    if exists and not args.add and not args.overwrite:
        raise SAVError(f"{output}: a gallery is there; give --add to keep it, or --overwrite")
    if args.add and not exists:
        raise SAVError(f"{output}: there is no gallery to add to; leave out --add")
    check_folder(output)
    _choose_data(cfg, args)
    register_part_datasets(cfg)
    model = SAVPredictor.from_config(cfg, weights, output if args.add else None, args.device).model
    _check_names(model.context.gallery.sources, cfg.DATASETS.TRAIN)
    gallery = build_gallery(cfg, model, model.context.gallery if args.add else None)
    save_gallery(gallery, output)
    added = sum(gallery.sources[name]["vehicles"] for name in cfg.DATASETS.TRAIN)
    sys.stdout.write(f"{added} vehicles encoded, {len(gallery)} in {output}\n")


def _choose_data(cfg: CfgNode, args: argparse.Namespace) -> None:
    """Make what the command line names the DATASETS.TRAIN of the config."""
    from sav.d2 import MetadataCatalog  # noqa: PLC0415

    cfg.DATASETS.TEST = ()
    if args.datasets is not None:
        cfg.DATASETS.TRAIN = tuple(args.datasets)
    if args.json is None:
        if args.images or args.name:
            raise SAVError("--images and --name belong to --annotations FILE")
        return
    file = args.json.resolve()
    name = args.name or f"{file.parent.name}/{file.stem}"
    if args.images is not None:
        MetadataCatalog.get(name).set(image_root=str(args.images.resolve()))
    cfg.DATASETS.PARTS[name] = str(file)
    cfg.DATASETS.TRAIN = (name,)


def _check_names(sources: dict[str, dict[str, str | None]], names: tuple[str, ...]) -> None:
    """Refuse to renew one data set with another that happens to have its name."""
    from sav.d2 import MetadataCatalog  # noqa: PLC0415

    for name in names:
        known = sources.get(name, {}).get("file")
        file = MetadataCatalog.get(name).get("json_file")
        if known not in (None, file):
            raise SAVError(
                f"{file}: the gallery has another data set of the name '{name}', from {known}; "
                "give --name"
            )


def _inspect(args: argparse.Namespace) -> None:
    from sav.gallery.files import GALLERY_FILE, load_gallery  # noqa: PLC0415
    from sav.gallery.summary import describe_gallery  # noqa: PLC0415

    check_own(args.json, FORMAT)
    folder = args.folder
    if not (folder / GALLERY_FILE).is_file():
        folder = folder / GALLERY_FOLDER
    if not (folder / GALLERY_FILE).is_file():
        raise SAVError(f"{args.folder}: no gallery there; give one or the OUTPUT_DIR of a training")
    gallery = load_gallery(folder)
    with json_output(args.json) as write_json:
        facts = describe_gallery(gallery, folder)
        sys.stdout.write(_format(facts))
        write_json(to_json(FORMAT, facts))


def _format(facts: dict[str, Any]) -> str:
    lines = [
        f"{facts['vehicles']} vehicles",
        f"size: {facts['bytes'] / 2**20:.1f} MiB",
        f"search: {facts['search']}",
        f"photos: {facts['photos']}, {facts['grouped_photos']} of them in {facts['groups']} groups",
    ]
    for name, value in sorted(facts["fingerprint"].items()):
        lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    if facts["data_sets"]:
        rows = [[name, *source.values()] for name, source in facts["data_sets"].items()]
        lines += ["", tabulate(rows, ["data set", "vehicles", "annotations", "since then"])]
    if facts["classes"]:
        lines += ["", tabulate(facts["classes"].items(), ["class", "vehicles that show it"])]
    return "\n".join(lines) + "\n"


def _query(args: argparse.Namespace) -> None:
    if args.neighbours is not None and args.neighbours < 1:
        raise SAVError(f"--neighbours {args.neighbours}: ask for one at least")
    check_new([args.output], overwrite=args.overwrite)
    check_own(args.json, NEIGHBOURS_FORMAT)
    with json_output(args.json) as write_json:
        image = read_photo_or_stdin(args.photo)
        found = _find_neighbours(image, args)
        write_json(to_json(NEIGHBOURS_FORMAT, _describe_neighbours(found, args)))


def _find_neighbours(image: np.ndarray, args: argparse.Namespace) -> list[Neighbour]:
    """Draw and print them."""
    from sav.predict.neighbour_sheet import draw_neighbours  # noqa: PLC0415
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    folder = args.gallery or args.model / GALLERY_FOLDER
    predictor = SAVPredictor.from_pretrained(args.model, args.device, gallery=folder)
    count = args.neighbours or predictor.model.context.neighbours
    if not count:
        raise SAVError("MODEL.SAV.CONTEXT.NEIGHBOURS is 0: say with --neighbours how many to show")
    found = predictor.nearest(image, count, copies=not args.no_copies)
    if not found:
        raise SAVError(f"{folder}: the gallery has no vehicle to show")
    missing = draw_neighbours(args.output, image, found, predictor)
    rows = [
        [
            str(neighbour.of + 1),
            f"{neighbour.similarity:.3f}",
            "yes" if neighbour.mirrored else "",
            neighbour.vehicle.photo.id,
            str(neighbour.vehicle.number),
            neighbour.vehicle.photo.file or "not here",
        ]
        for neighbour in found
    ]
    columns = ["of vehicle", "similarity", "mirrored", "key", "vehicle", "photo"]
    table = tabulate(rows, columns, disable_numparse=True)
    sys.stdout.write(f"{table}\n")
    if missing:
        sys.stdout.write(
            f"photo not here: {missing} of {len(found)} neighbours, drawn as stored layouts\n"
        )
    sys.stdout.write(f"drawn: {args.output}\n")
    return found


def _describe_neighbours(found: Sequence[Neighbour], args: argparse.Namespace) -> dict[str, Any]:
    neighbours = [
        {
            "of_vehicle": one.of,
            "similarity": round(one.similarity, 4),
            "mirrored": one.mirrored,
            "key": one.vehicle.photo.id,
            "vehicle": one.vehicle.number,
            "photo": one.vehicle.photo.file,
        }
        for one in found
    ]
    return {"photo": str(args.photo), "picture": str(args.output), "neighbours": neighbours}
