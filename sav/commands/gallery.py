"""``sav gallery``: build a gallery, inspect it, query it for the neighbours of a photo."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tabulate import tabulate

from sav.commands.options import add_overwrite_argument, add_run_arguments
from sav.config import load_config
from sav.d2 import CfgNode, MetadataCatalog
from sav.data.registration import register_part_datasets
from sav.engine.gallery import build_gallery
from sav.errors import SAVError
from sav.files import check_folder, check_new, file_digest
from sav.gallery.files import GALLERY_FILE, load_gallery, save_gallery
from sav.predict.neighbour_sheet import draw_neighbours
from sav.predict.predictor import SAVPredictor
from sav.predict.sources import read_photo
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, WEIGHTS_FILE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions; :func:`run` executes what was chosen."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    summary = "encode annotated photos into a gallery, with the weights of a finished training"
    build = actions.add_parser("build", help=summary, description=summary)
    build.set_defaults(action=_build)
    _add_build(build)
    summary = "print what a gallery holds: data sets, classes, fingerprint, size"
    inspect = actions.add_parser("inspect", help=summary, description=summary)
    inspect.set_defaults(action=_inspect)
    inspect.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a gallery, or the run folder that has one"
    )
    summary = "draw a photo and the exemplars of the gallery that the model uses for it"
    query = actions.add_parser("query", help=summary, description=summary)
    query.set_defaults(action=_query)
    query.add_argument("photo", type=Path, metavar="PHOTO")
    add_run_arguments(query)
    query.add_argument(
        "--neighbours", type=int, metavar="K", help="how many; as many as the model uses"
    )
    query.add_argument(
        "--no-copies", action="store_true", help="leave out copies of the photo, as training does"
    )
    query.add_argument(
        "--output", type=Path, default=Path("neighbours.png"), metavar="PNG", help="%(default)s"
    )
    add_overwrite_argument(query)


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
        "--data", nargs="+", metavar="NAME", help="data sets of the config; else DATASETS.TRAIN"
    )
    data.add_argument(
        "--json", type=Path, metavar="FILE", help="part annotations, as 'sav prepare' writes them"
    )
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="with --json: folder of its photos, if moved"
    )
    parser.add_argument(
        "--name", help="with --json: of the data set; FOLDER/FILE without its ending"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the gallery; RUN_FOLDER/gallery, where 'sav predict' finds it",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--add", action="store_true", help="keep what the gallery has; the same data set is renewed"
    )
    existing.add_argument("--replace", action="store_true", help="overwrite a gallery")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ...; a GPU when there is one")
    parser.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config options")


def _build(args: argparse.Namespace) -> None:
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
    if exists and not args.add and not args.replace:
        raise SAVError(f"{output}: a gallery is there; give --add to keep it, or --replace")
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
    cfg.DATASETS.TEST = ()
    if args.data is not None:
        cfg.DATASETS.TRAIN = tuple(args.data)
    if args.json is None:
        if args.images or args.name:
            raise SAVError("--images and --name belong to --json FILE")
        return
    file = args.json.resolve()
    name = args.name or f"{file.parent.name}/{file.stem}"
    if args.images is not None:
        MetadataCatalog.get(name).set(image_root=str(args.images.resolve()))
    cfg.DATASETS.PARTS[name] = str(file)
    cfg.DATASETS.TRAIN = (name,)


def _check_names(sources: dict[str, dict[str, str | None]], names: tuple[str, ...]) -> None:
    """Refuse to renew one data set with another that happens to have its name."""
    for name in names:
        known = sources.get(name, {}).get("file")
        file = MetadataCatalog.get(name).get("json_file")
        if known not in (None, file):
            raise SAVError(
                f"{file}: the gallery has another data set of the name '{name}', from {known}; "
                "give --name"
            )


def _inspect(args: argparse.Namespace) -> None:
    folder = args.folder
    if not (folder / GALLERY_FILE).is_file():
        folder = folder / GALLERY_FOLDER
    if not (folder / GALLERY_FILE).is_file():
        raise SAVError(f"{args.folder}: no gallery there; give one or the OUTPUT_DIR of a training")
    gallery = load_gallery(folder)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    photos = {vehicle.photo.id: vehicle.photo for vehicle in gallery.vehicles}.values()
    groups = Counter(photo.group for photo in photos if photo.group is not None)
    lines = [
        f"{len(gallery)} vehicles",
        f"size: {size / 2**20:.1f} MiB",
        f"search: {gallery.search_method}",
        f"photos: {len(photos)}, {groups.total()} of them in {len(groups)} groups",
    ]
    for name, value in sorted(gallery.fingerprint.items()):
        lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    if gallery.sources:
        rows = [
            [name, source["vehicles"], source["file"], _freshness(source)]
            for name, source in gallery.sources.items()
        ]
        lines += ["", tabulate(rows, ["data set", "vehicles", "annotations", "since then"])]
    classes, exemplars = gallery.fingerprint.get("classes"), gallery.exemplars
    if classes and exemplars is not None:
        rows = list(zip(classes, exemplars.present.sum(dim=0).tolist(), strict=True))
        lines += ["", tabulate(rows, ["class", "vehicles that show it"])]
    sys.stdout.write("\n".join(lines) + "\n")


def _freshness(source: dict[str, str | None]) -> str:
    if not source["file"] or not Path(source["file"]).is_file():
        return "not here"
    return "unchanged" if file_digest(Path(source["file"])) == source["digest"] else "changed"


def _query(args: argparse.Namespace) -> None:
    if args.neighbours is not None and args.neighbours < 1:
        raise SAVError(f"--neighbours {args.neighbours}: ask for one at least")
    check_new([args.output], overwrite=args.overwrite)
    image = read_photo(args.photo)
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
