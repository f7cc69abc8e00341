"""``sav export``: a model for runtimes without torch."""

from __future__ import annotations

import argparse
import sys

from sav.commands.options import add_model_argument, add_output_argument, add_overwrite_argument
from sav.errors import SAVError
from sav.files import check_new, files_together
from sav.predict.sources import find_inputs

EXAMPLES = (
    "sav export --out output/exported",
    "sav export --model output/quickstart --gallery none --out output/small --int8 photos/",
)
_NO_GALLERY = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sav export``."""
    add_model_argument(parser)
    parser.add_argument("--format", choices=("onnx",), default="onnx", help="of the files")
    add_output_argument(parser, "folder for the model and its runtime", required=True)
    parser.add_argument(
        "--vocabulary",
        metavar="NAME",
        help="to answer in, any view of its parts (default: its own parts)",
    )
    parser.add_argument(
        "--gallery",
        metavar="DIR",
        help=f"another gallery than that of the run; '{_NO_GALLERY}' exports without",
    )
    parser.add_argument(
        "--int8",
        nargs="*",
        metavar="PHOTO",
        help="compute the image encoder in 8 bits, with ranges from these photos and folders, or "
        "from rendered vehicles where none are named",
    )
    add_overwrite_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    from sav.gallery.store import Gallery  # noqa: PLC0415
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    try:
        from sav.export.exporter import DECODER_FILE, FILES, export_onnx  # noqa: PLC0415
        from sav.export.quantize import calibration_photos, quantize_encoder  # noqa: PLC0415
    except ImportError as error:
        raise SAVError(
            f"export needs more packages ({error}): pip install 'segment-any-vehicle[export]'"
        ) from error
    check_new([args.output / name for name in FILES], overwrite=args.overwrite)
    photos = find_inputs(args.int8) if args.int8 else []
    gallery = None if args.gallery == _NO_GALLERY else args.gallery
    predictor = SAVPredictor.from_pretrained(args.model, "cpu", args.vocabulary, gallery)
    model = predictor.model
    if args.gallery == _NO_GALLERY and model.context is not None:
        model.context.gallery = Gallery({})
    with files_together(args.output) as folder:
        written = export_onnx(model, predictor.ontology.name, folder)
        if args.int8 is not None:
            quantize_encoder(folder / DECODER_FILE, calibration_photos(photos), model.preprocess)
        sizes = ", ".join(f"{file.name} ({file.stat().st_size / 1e6:.1f} MB)" for file in written)
    for name in set(FILES).difference(file.name for file in written):
        (args.output / name).unlink(missing_ok=True)  # of an earlier export
    sys.stdout.write(f"Written to {args.output}: {sizes}\n")
