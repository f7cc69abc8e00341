"""Convert VehicleSeg10K to COCO part annotations; see datasets/README.md."""

from functools import partial

from sav.commands.prepare import main
from sav.process import run_command

if __name__ == "__main__":
    run_command(partial(main, "vehicleseg10k"))
