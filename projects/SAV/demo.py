"""Draw named, coloured vehicle parts with their scores.

Example::

    python projects/SAV/demo.py --config-file output/quickstart/config.yaml \
        --input photos/ --output drawn/
"""

from sav.commands.predict import run_demo
from sav.process import run_command

if __name__ == "__main__":
    run_command(run_demo)
