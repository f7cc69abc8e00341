import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sav.errors import SAVError
from sav.ontology import Union, View, available_ontologies, find_view, load_ontology, load_views
from sav.ontology.unions import VIEW_KEYS

VIEWS = [name for name in available_ontologies() if name != "vehicle"]

PEDALS = """\
name: {name}
{view_of}classes:
  - id: 0
    name: frame
    description: tubes
    color: [1, 2, 3]
  - id: 1
    name: left pedal
    description: pedal
    color: [4, 5, 6]
    side: left
    mirror: right pedal
  - id: 2
    name: right pedal
    description: pedal
    color: [7, 8, 9]
    side: right
    mirror: left pedal
"""
GRAPH = (
    PEDALS.format(name="cycle", view_of="")
    + """\
  - {id: 3, name: left bell, description: bell, color: [9, 8, 7], side: left, mirror: right bell}
  - {id: 4, name: right bell, description: bell, color: [9, 8, 7], side: right, mirror: left bell}
  - {id: 5, name: saddle, description: seat, color: [9, 9, 9]}
"""
)
VIEW = PEDALS.format(name="coarse", view_of="view_of: cycle.yaml\n")


@pytest.fixture
def write(tmp_path):
    """Writes a graph and a view of it, in which some text is replaced."""

    def write(*changes):
        (tmp_path / "cycle.yaml").write_text(GRAPH)
        text = VIEW
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "coarse.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("name", VIEWS)
def test_every_shipped_vocabulary_is_a_view_of_vehicle(name):
    graph, view = load_ontology("vehicle"), load_ontology(name)
    assert view.view_of == "vehicle"
    assert len(view.unions) == len(view)
    mirror = {part.name: part.mirror or part.name for part in graph.classes}
    for union, mirrored in zip(view.unions, view.mirror_ids, strict=True):
        other = view.unions[mirrored]
        assert {mirror[part] for part in union.parts} == set(other.parts)
        assert {mirror[part] for part in union.attached} == set(other.attached)
        assert union.each == other.each
    for one, other in itertools.combinations(view.unions, 2):
        first, second = set(one.parts), set(other.parts)
        assert not first & second or first < second or second < first
    # An object in front of the vehicle is no part of it.
    nothing = [c.name for c, u in zip(view.classes, view.unions, strict=True) if not u.parts]
    assert nothing == (["object"] if name == "carparts_seg" else [])


def test_every_part_is_in_vehicleseg10k_exactly_once():
    graph, view = load_ontology("vehicle"), load_ontology("vehicleseg10k")
    parts = [part for union in view.unions for part in (*union.parts, *union.attached)]
    assert sorted(parts) == sorted(graph.class_names)


def test_the_graph_of_parts_has_no_body():
    graph = load_ontology("vehicle")
    assert graph.body_ids == ()
    assert (graph.view_of, graph.unions) == ("", ())
    assert set(graph.slots) == {2}


def test_what_the_photos_of_dsmlr_show():
    view = load_ontology("dsmlr")
    union = dict(zip(view.class_names, view.unions, strict=True))
    assert union["front_left_door"] == Union(("left_front_door", "left_front_window"))
    assert union["tailgate"] == Union(("trunk",), ("trunk_plate",))
    assert union["trunk"] == Union(("tailgate", "bed_gate", "bed"), ("trunk_plate",))
    assert union["wheel"].each


def test_views_are_found_by_name(write):
    graph = load_ontology("vehicle")
    views = load_views(graph)
    assert [view.name for view in views] == ["vehicle", *VIEWS]
    assert views[0].is_whole
    assert views[0].unions == tuple(Union((name,)) for name in graph.class_names)
    assert views[find_view(views, "dsmlr")].vocabulary == load_ontology("dsmlr")
    assert find_view(views, "") == 0
    with pytest.raises(SAVError, match="'coarse': the model knows vehicle, carparts_seg"):
        find_view(views, "coarse")
    coarse = write()
    with pytest.raises(SAVError, match="coarse: it is a view of cycle, not a view of vehicle"):
        load_views(graph, [str(coarse)])
    cycle = load_ontology(coarse.with_name("cycle.yaml"))
    assert [view.name for view in load_views(cycle, [str(coarse)])] == ["cycle", "coarse"]
    with pytest.raises(SAVError, match="two vocabularies are called coarse"):
        load_views(cycle, [str(coarse), str(coarse)])
    with pytest.raises(SAVError, match="cycle: it is a graph of its own, not a view of vehicle"):
        View.of(cycle, graph)


def test_a_class_without_keys_is_the_part_of_its_name(write):
    assert load_ontology(write()).unions == (
        Union(("frame",)),
        Union(("left pedal",)),
        Union(("right pedal",)),
    )


def test_the_rest_is_what_no_other_class_has(write):
    rest = ("name: frame\n", "name: frame\n    parts: rest\n")
    pedals = [
        (f"name: {side} pedal\n", f"name: {side} pedal\n    attached: [{side} bell]\n")
        for side in ("left", "right")
    ]
    view = load_ontology(write(rest, *pedals))
    assert view.unions[0] == Union(("frame", "saddle"), rest=True)
    assert view.unions[1] == Union(("left pedal",), ("left bell",))
    assert view.rest_ids == (0,)
    assert load_ontology(write(rest)).unions[0].parts == (
        "frame",
        "left bell",
        "right bell",
        "saddle",
    )


def test_a_class_without_a_side_may_have_the_parts_of_two_with_one(write):
    path = write(("name: frame\n", "name: any pedal\n    parts: [left pedal, right pedal]\n"))
    assert load_ontology(path).unions[0] == Union(("left pedal", "right pedal"))
    path = write(("name: frame\n", "name: any pedal\n    each: [left pedal, right pedal]\n"))
    assert load_ontology(path).unions[0].each


def key(name, line):
    """Give the class of a name one more line."""
    return f"name: {name}\n", f"name: {name}\n    {line}\n"


@pytest.mark.parametrize(
    ("changes", "line", "words"),
    [
        ([key("frame", "parts: [frame, fork]")], 4, "'fork' is no part of cycle"),
        ([("name: frame", "name: tubes")], 4, "'tubes' is no part of cycle"),
        ([key("frame", "attached: [fork]")], 4, "'fork' is no part of cycle"),
        ([key("frame", "parts: [frame]\n    each: [frame]")], 4, "'parts' or 'each', not both"),
        ([key("frame", "each: [frame]\n    attached: [saddle]")], 4, "'attached' goes with"),
        ([key("frame", "parts: frame")], 4, "a list of names"),
        ([key("frame", "each: rest")], 4, "a list of names"),
        ([key("frame", "attached: saddle")], 4, "a list of names"),
        ([key("frame", "parts: [frame, frame]")], 4, "'frame' has the part 'frame' twice"),
        ([key("frame", "attached: [frame]")], 4, "'frame' has the part 'frame' twice"),
        (
            [key("frame", "parts: rest"), key("left pedal", "parts: rest")],
            9,
            "'frame' is the rest of the parts already",
        ),
        (
            [key("left pedal", "parts: [right pedal]")],
            8,
            "'left pedal' is on the left side, 'right pedal' is not",
        ),
        (
            [key("frame", "parts: [left bell]")],
            4,
            "'frame' and its own mirror image must have mirrored parts; not so: left bell, right",
        ),
        (
            [key("left pedal", "parts: [left pedal, left bell]")],
            8,
            "'left pedal' and 'right pedal' must have mirrored parts; not so: right bell",
        ),
        ([key("left pedal", "attached: [left bell]")], 8, "must have mirrored parts"),
        ([key("left pedal", "each: [left pedal]")], 8, "must both have 'parts' or 'each'"),
        (
            [
                key("left pedal", "parts: [left pedal, saddle]"),
                key("right pedal", "parts: [right pedal, saddle]"),
            ],
            15,
            "'left pedal' and 'right pedal' share saddle, but neither",
        ),
        (
            [
                key("frame", "parts: [frame, left pedal, right pedal]"),
                key("left pedal", "parts: [left pedal, left bell]"),
                key("right pedal", "parts: [right pedal, right bell]"),
            ],
            9,
            "'frame' and 'left pedal' share left pedal, but neither",
        ),
        (
            [key("left pedal", "parts: [saddle]"), key("right pedal", "parts: [saddle]")],
            15,
            "'right pedal' share saddle, but neither has all parts of the other and more",
        ),
        (
            [key(name, "parts: []") for name in ("frame", "left pedal", "right pedal")],
            1,
            "no class has a part of cycle",
        ),
        ([("cycle.yaml", "nowhere")], 1, "view_of: no such ontology 'nowhere'"),
        ([("cycle.yaml", "dsmlr")], 1, "'dsmlr' is itself a view"),
        ([("cycle.yaml", "coarse.yaml")], 1, "'coarse.yaml' is itself a view"),
    ],
)
def test_errors_name_the_file_and_the_line(write, changes, line, words):
    path = write(*changes)
    with pytest.raises(SAVError) as caught:
        load_ontology(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)


def test_a_part_may_be_attached_to_several_classes(write):
    path = write(
        key("frame", "attached: [saddle]"),
        key("left pedal", "attached: [saddle]"),
        key("right pedal", "attached: [saddle]"),
    )
    assert [union.attached for union in load_ontology(path).unions] == [("saddle",)] * 3


@pytest.mark.parametrize("name", sorted(VIEW_KEYS))
def test_keys_of_a_view_need_a_graph(write, name):
    path = write(("view_of: cycle.yaml\n", ""), key("left pedal", f"{name}: [left pedal]"))
    with pytest.raises(SAVError) as caught:
        load_ontology(path)
    assert str(caught.value).startswith(f"{path}:7: '{name}': only where the file says 'view_of'")


def test_a_mistake_in_the_graph_names_its_own_file(write):
    path = write()
    graph = path.with_name("cycle.yaml")
    graph.write_text(GRAPH.replace("id: 5", "id: 6"))
    with pytest.raises(SAVError, match=r"cycle\.yaml:\d+: id is 6"):
        load_ontology(path)


def test_a_file_that_changes_is_read_again(write):
    path = write()
    before = load_ontology(path)
    path.write_text(path.read_text().replace("description: tubes", "description: pipes"))
    os.utime(path, ns=(0, 0))
    after = load_ontology(path)
    frame = replace(before.classes[0], description="pipes")
    assert after == replace(before, classes=(frame, *before.classes[1:]))


def test_the_graph_is_found_beside_the_view(write, monkeypatch, tmp_path):
    path = write()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_ontology(Path("..") / path.name).view_of == "cycle"
