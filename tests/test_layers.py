"""The house: nothing imports upwards, no circles, and files that can be read at a glance."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[1] / "sav"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = [
    ["errors"],
    ["files", "parallel", "process"],
    ["device", "run_folder"],
    ["d2"],
    ["ontology", "gallery", "precision"],
    ["formats", "config"],
    ["data", "drawing", "modeling"],
    ["evaluation", "inspection", "synthetic"],
    ["engine", "export", "predict"],
    ["bench", "check", "doctor", "serve"],
    ["commands"],
    ["cli"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def imported(path):
    """The modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sav."):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def test_every_part_has_a_floor():
    tops = {module.split(".")[1] for module in MODULES if "." in module}
    assert tops == FLOOR_OF.keys()


def test_nothing_imports_upwards():
    for path in FILES:
        if module_of(path) == "sav":
            continue  # offers the predictor, and imports it when it is asked for
        top = module_of(path).split(".")[1]
        for other in imported(path):
            other_top = other.split(".")[1]
            below = FLOOR_OF[other_top] < FLOOR_OF[top]
            assert below or other_top == top, f"{path.name} imports {other}"


def test_there_are_no_circles():
    graph = {module_of(path): set(imported(path)) - {module_of(path)} for path in FILES}
    assert list(TopologicalSorter(graph).static_order())


def test_files_can_be_read_at_a_glance():
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in FILES}
    # Copied to where SAV is not, so it is one file; its own test keeps it to 360 lines of code.
    lengths.pop(PACKAGE / "export" / "runtime.py")
    assert max(lengths.values()) <= 350
    assert median(lengths.values()) < 120


def test_the_model_is_one_short_file():
    assert len((PACKAGE / "modeling" / "meta_arch.py").read_text("utf-8").splitlines()) <= 200
