"""``sav serve``: a web page and an HTTP API for prediction."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from importlib.util import find_spec

from sav.commands.options import add_run_arguments
from sav.errors import SAVError
from sav.run_folder import SHIPPED
from sav.serve.limits import MEGAPIXEL, MIB, Limits

EXAMPLES = (
    "sav serve",
    "sav serve --model output/quickstart --port 8080",
    "sav serve --host 0.0.0.0 --allow-host cars.example --queue 8",
)

_NEEDS = ("fastapi", "uvicorn", "python_multipart")
_USUAL = Limits()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``sav serve``."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default: %(default)s, for this machine alone)",
    )
    parser.add_argument(
        "--port",
        type=_number(0, 65535),
        default=8000,
        help="0 for a free one (default: %(default)s)",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--vocabulary",
        metavar="NAME",
        help="to answer in where nothing else is asked (default: its own)",
    )
    parser.add_argument(
        "--max-mib",
        type=_number(1, 1024),
        default=_USUAL.max_bytes // MIB,
        metavar="N",
        help="MiB that a photo's file may have (default: %(default)s)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=_number(1, 150),
        default=_USUAL.max_pixels // MEGAPIXEL,
        metavar="N",
        help="million pixels that a photo may have (default: %(default)s)",
    )
    parser.add_argument(
        "--queue",
        type=_number(1, 1000),
        default=_USUAL.places,
        metavar="N",
        help="requests at one time, waiting ones included; more are refused (default: %(default)s)",
    )
    parser.add_argument(
        "--time-limit",
        type=_number(1, 3600),
        default=round(_USUAL.seconds),
        metavar="S",
        help="seconds from a request's first byte to its answer (default: %(default)s)",
    )
    parser.add_argument(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="further names that requests may call this server by, such as a proxy's",
    )


def run(args: argparse.Namespace) -> None:
    """Do what :func:`add_arguments` has parsed.

    Raises:
        SAVError: something the user can mend.
    """
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise SAVError(
            f"sav serve needs {', '.join(missing)}; install SAV with its extra: "
            "pip install '.[serve]'"
        )
    # Not before it is known that there is what it needs.
    from sav.predict.predictor import SAVPredictor  # noqa: PLC0415

    server = importlib.import_module("sav.serve.server")
    limits = Limits(
        args.max_mib * MIB, args.max_megapixels * MEGAPIXEL, args.queue, args.time_limit
    )
    with server.listen(args.host, args.port) as listening:
        predictor = SAVPredictor.from_pretrained(
            args.model, args.device, args.vocabulary, args.gallery
        )
        hosts = server.allowed_hosts(args.host, args.allow_host)
        name = "shipped model" if args.model == SHIPPED else args.model.resolve().name
        server.serve(predictor, listening, limits, hosts, name)


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return number
