"""The one door to Detectron2.

All code takes Detectron2's names from here. They come from the installed ``detectron2``, mended in
:mod:`sav.d2.original`, or from :mod:`sav.d2.builtin`; the environment variable
``SAV_ENGINE=auto|detectron2|builtin`` decides, and ``auto`` means the first that is installed. Both
stand on :mod:`sav.d2.shared`. No other module knows which engine it has.
"""

from sav.d2.engine_choice import choose_engine, describe_engine

_ENGINE = choose_engine()

if _ENGINE == "builtin":
    from sav.d2.builtin import *  # noqa: F403
else:
    from sav.d2.original import *  # noqa: F403


def engine_description() -> str:
    """Return the name and version of the running engine, for logs."""
    return describe_engine(_ENGINE)
