"""Draw named, coloured vehicle parts with their scores.

Example::

    python projects/SAV/demo.py --config-file output/quickstart/config.yaml \
        --input photos/ --output drawn/
"""

from sav.errors import run_command
from sav.inference.command import run_demo

if __name__ == "__main__":
    run_command(run_demo)
