"""``sav assign``: from files of findings to JSON, COCO and a page."""

import json
import resource
from pathlib import Path

import fastjsonschema
import numpy as np
import pytest
from PIL import Image

from sav.cli import dispatch
from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.inspection import assignments, assignments_page
from tests.inspection.cars import LEFT, SIZE, VEHICLE

VALIDATE = fastjsonschema.compile(
    json.loads(Path(assignments.__file__).with_name("assignments.schema.json").read_text("utf-8"))
)
DENT, SCRATCH, LEAF = (65, 55, 75, 65), (85, 60, 120, 62), (5, 100, 15, 110)


def corners(box):
    x0, y0, x1, y1 = box
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def mask_of(box, size=SIZE):
    mask = np.zeros(size, dtype=np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def coco(path, rows, images=("a.jpg",), size=SIZE, **more):
    """Rows: (image number, label, box)."""
    labels = more.pop("labels", None) or sorted({label for _, label, _ in rows})
    contents = {
        "images": [
            {"id": i, "file_name": name, "height": size[0], "width": size[1]}
            for i, name in enumerate(images)
        ],
        "categories": [{"id": i, "name": label} for i, label in enumerate(labels, start=1)],
        "annotations": [
            {
                **{"id": i, "image_id": image, "category_id": labels.index(label) + 1},
                "segmentation": [np.ravel(corners(box)).tolist()],
            }
            for i, (image, label, box) in enumerate(rows, start=1)
        ],
        **more,
    }
    path.write_text(json.dumps(contents))
    return path


@pytest.fixture
def data(tmp_path):
    """Two photos of one car, and its annotated parts."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, grey in (("a.jpg", 90), ("b.jpg", 160)):
        Image.new("RGB", SIZE[::-1], (grey, grey, grey)).save(photos / name)
    rows = [(0, name, box) for name, box in LEFT.items()]
    options = {"labels": VEHICLE.class_names, "info": {"ontology": "vehicle"}}
    coco(photos / "parts.json", rows, **options)
    return tmp_path


def assign(data, findings, *words):
    """Run it; returns the JSON, the COCO file and the page."""
    options = ["--parts", data / "photos" / "parts.json", "--images", data / "photos"]
    command = ["assign", findings, *options, "--output", data / "out", *words]
    dispatch([str(word) for word in command])
    contents = json.loads((data / "out" / "assignments.json").read_text("utf-8"))
    VALIDATE(contents)
    return (
        contents,
        json.loads((data / "out" / "findings.json").read_text("utf-8")),
        (data / "out" / "assignments.html").read_text("utf-8"),
    )


def statuses(contents):
    return [(f["label"], f["status"], f["part"]) for p in contents["photos"] for f in p["findings"]]


def test_coco_findings_get_parts_sides_and_vehicles(data, capsys):
    rows = [(0, "dent", DENT), (0, "scratch", SCRATCH), (0, "leaf", LEAF)]
    contents, written, page = assign(data, coco(data / "findings.json", rows))
    assert statuses(contents) == [
        ("dent", "assigned", "left_front_door"),
        ("scratch", "ambiguous", None),
        ("leaf", "no part", None),
    ]
    (photo,) = contents["photos"]
    assert photo["vehicles"] == [{"vehicle_id": 0, "side": "left"}]
    dent = photo["findings"][0]
    assert (dent["side"], dent["vehicle_id"], dent["box"]) == ("left", 0, list(DENT))
    first, second, third = (one["attributes"] for one in written["annotations"])
    assert (first["part"], first["vehicle"], first["share_of_finding"]) == ("left_front_door", 0, 1)
    assert second["parts"] == "left_back_door, left_front_door"
    assert third == {"status": "no part", "covered": 0}
    assert [c["name"] for c in written["categories"]] == ["dent", "leaf", "scratch"]
    assert page.count("data:image/jpeg") == 3
    assert "left_back_door or left_front_door" in page
    said = capsys.readouterr().out
    assert "1 photo, 3 findings: 1 ambiguous, 1 assigned, 1 no part" in said


def test_what_is_written_is_read_again_with_its_vehicle(data):
    assign(data, coco(data / "findings.json", [(0, "dent", DENT)]))
    dispatch(["convert", str(data / "out" / "findings.json"), str(data / "again"), "--to", "coco"])
    again = json.loads((data / "again" / "instances_train.json").read_text())
    assert again["annotations"][0]["vehicle_id"] == 0


def test_labelme_findings(data):
    folder = data / "labelme"
    folder.mkdir()
    shapes = [{"label": 'a "dent" <b>', "points": corners(DENT), "shape_type": "polygon"}]
    contents = {"shapes": shapes, "imagePath": "a.jpg", "imageHeight": SIZE[0]}
    (folder / "a.json").write_text(json.dumps({**contents, "imageWidth": SIZE[1]}))
    contents, _, page = assign(data, folder)
    assert statuses(contents)[0][1:] == ("assigned", "left_front_door")
    assert "<b>&" not in page
    assert "a &#34;dent&#34; &lt;b&gt;" in page
    # The other photo has no annotation, which is said.
    assert any("b.jpg" in one["file"] for one in contents["skipped"])


@pytest.mark.parametrize("value", [1, 255])
def test_binary_masks_have_the_name_that_is_given(data, value):
    (data / "masks").mkdir()
    Image.fromarray(value * mask_of(DENT)).save(data / "masks" / "a.png")
    contents, _, _ = assign(data, data / "masks", "--labels", "dirt")
    assert statuses(contents) == [("dirt", "assigned", "left_front_door")]


def test_label_maps_of_several_values(data):
    (data / "masks").mkdir()
    Image.fromarray(mask_of(DENT) + 2 * mask_of(LEAF)).save(data / "masks" / "a.png")
    contents, _, _ = assign(data, data / "masks", "--labels", "dent", "leaf")
    assert sorted(statuses(contents)) == [
        ("dent", "assigned", "left_front_door"),
        ("leaf", "no part", None),
    ]
    with pytest.raises(SAVError, match="has labels of its own"):
        rows = coco(data / "findings.json", [(0, "dent", DENT)])
        assign(data, rows, "--overwrite", "--labels", "dent")


def test_findings_that_cannot_be_used_are_said_and_the_rest_goes_on(data, capsys):
    rows = [(0, "dent", DENT), (0, "far", (500, 500, 520, 520)), (1, "dent", DENT)]
    rows += [(2, "dent", DENT)]
    findings = coco(data / "findings.json", rows, ("a.jpg", "b.jpg", "none.jpg"))
    contents, _, page = assign(data, findings)
    assert statuses(contents) == [("dent", "assigned", "left_front_door")]
    reasons = " ".join(f"{one['record']} {one['reason']}" for one in contents["skipped"])
    assert "(far) it covers no pixel of the photo" in reasons
    assert "parts.json has no parts of it" in reasons  # b.jpg
    assert "none.jpg there is no such image" in reasons
    assert capsys.readouterr().out.count("skipped: ") == 3
    listed = page.partition("<h2>Skipped</h2>")[2]
    assert listed.count("<li>") == 3
    assert "(far): it covers no pixel of the photo" in listed
    with pytest.raises(SAVError, match="covers no pixel"):
        assign(data, findings, "--overwrite", "--strict")


def test_photos_without_findings_are_listed(data):
    findings = coco(data / "findings.json", [(0, "dent", DENT)], ("a.jpg", "b.jpg"))
    contents, written, page = assign(data, findings)
    assert [len(photo["findings"]) for photo in contents["photos"]] == [1, 0]
    assert [image["file_name"] for image in written["images"]] == ["a.jpg", "b.jpg"]
    assert "No finding." in page


def test_findings_for_a_photo_of_another_size(data):
    findings = coco(data / "findings.json", [(0, "dent", DENT)], size=(99, 99))
    with pytest.raises(SAVError, match="99x99 pixels, but the image is 220x120"):
        assign(data, findings)
    assert not (data / "out").exists()


@pytest.mark.parametrize("name", ["assignments.json", "findings.json", "assignments.html"])
def test_nothing_is_overwritten_unasked(data, name):
    findings = coco(data / "f.json", [(0, "dent", DENT)])
    (data / "out").mkdir()
    (data / "out" / name).write_text("mine")
    with pytest.raises(SAVError, match=f"{name}: exists already"):
        assign(data, findings)
    assert (data / "out" / name).read_text() == "mine"
    assign(data, findings, "--overwrite")
    with pytest.raises(SAVError, match="is read from there"):
        assign(data, data / "out" / "findings.json", "--overwrite")


def test_a_full_disk_leaves_what_was_there(data):
    findings = coco(data / "f.json", [(0, "dent", DENT)])
    assign(data, findings)
    before = {file.name: file.read_bytes() for file in (data / "out").iterdir()}
    assert len(before["findings.json"]) < len(before["assignments.json"])
    room = max(len(before["assignments.json"]), len(before["assignments.html"]) // 2)
    assert room < len(before["assignments.html"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(SAVError, match="cannot be written"):
            assign(data, findings, "--overwrite", "--least", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in (data / "out").iterdir()} == before


def test_inputs_that_are_nothing(data):
    (data / "empty").mkdir()
    with pytest.raises(SAVError, match="not recognised"):
        assign(data, data / "empty")
    with pytest.raises(SAVError, match="no such file or folder"):
        assign(data, data / "nowhere")
    findings = coco(data / "findings.json", [(0, "dent", DENT)])
    with pytest.raises(SAVError, match="name them with --ontology"):
        assign(data, findings, "--parts", findings)


@pytest.mark.parametrize("own", [True, False])
def test_predicted_parts(data, run_folder, own, monkeypatch):
    """Photos without a vehicle; what is found is not the point."""
    findings = coco(data / "findings.json", [(0, "dent", DENT)])
    words = ["--images", data / "photos", "--device", "cpu", "--output", data / "out"]
    if own:
        monkeypatch.chdir(run_folder)
        words += ["--model", ".", "--score-threshold", "0"]
    dispatch(["assign", *map(str, (findings, *words))])
    contents = json.loads((data / "out" / "assignments.json").read_text())
    VALIDATE(contents)
    model = run_folder.name if own else "the shipped model"
    assert contents["parts"] == f"predicted by {model}"


def test_predictions_of_a_file_are_parts_too(data):
    parts = [
        {"name": name, "score": 0.9, "vehicle_id": 2, "mask": encode_mask(mask_of(box))}
        for name, box in LEFT.items()
    ]
    contents = {"file": "a.jpg", "width": SIZE[1], "height": SIZE[0], "ontology": "vehicle"}
    (data / "predicted").mkdir()
    (data / "predicted" / "a.json").write_text(json.dumps({**contents, "parts": parts}))
    findings = coco(data / "findings.json", [(0, "dent", DENT)])
    found, _, _ = assign(data, findings, "--parts", data / "predicted")
    assert statuses(found) == [("dent", "assigned", "left_front_door")]
    assert found["photos"][0]["findings"][0]["vehicle_id"] == 2


def test_pictures_are_bounded_and_figures_are_not(data, monkeypatch):
    monkeypatch.setattr(assignments_page, "MOST_PICTURES", 2)
    rows = [(0, "dent", DENT)] * 3 + [(1, "dent", DENT)]
    parts = json.loads((data / "photos" / "parts.json").read_text())
    parts["images"].append({**parts["images"][0], "id": 1, "file_name": "b.jpg"})
    (data / "photos" / "parts.json").write_text(json.dumps(parts))
    contents, _, page = assign(data, coco(data / "findings.json", rows, ("a.jpg", "b.jpg")))
    assert [f["id"] for photo in contents["photos"] for f in photo["findings"]] == [1, 2, 3, 4]
    assert page.count("data:image/jpeg") == 2
    assert page.count('id="finding') == 4


@pytest.mark.parametrize("name", ['"><script>alert(1)<b>.jpg', "caf\udce9.jpg", "é €.jpg"])
def test_any_file_name_is_written_as_text(data, name):
    (data / "photos" / "a.jpg").rename(data / "photos" / name)
    parts = (data / "photos" / "parts.json").read_text()
    (data / "photos" / "parts.json").write_text(parts.replace('"a.jpg"', json.dumps(name)))
    _, written, page = assign(data, coco(data / "f.json", [(0, "dent", DENT)], (name,)))
    assert "<script" not in page
    assert written["images"][0]["file_name"] == name


def test_a_score_that_cannot_be_is_refused(data, capsys):
    findings = coco(data / "findings.json", [(0, "dent", DENT)])
    with pytest.raises(SystemExit):
        assign(data, findings, "--score-threshold", "2")
    assert "not between 0 and 1" in capsys.readouterr().err
