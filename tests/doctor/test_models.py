import shutil

import pytest

from sav.doctor.item import Status
from sav.doctor.models import check_model
from sav.files import file_digest
from sav.run_folder import SHIPPED


@pytest.fixture
def run(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "run")


def wrong(folder, **options):
    return [item for item in check_model(folder, **options) if item.status is Status.WRONG]


def safetensors(header):
    return len(header).to_bytes(8, "little") + header.encode()


def test_a_whole_run_folder_is_described(run):
    weights, _, gallery = check_model(run)
    assert not wrong(run)
    assert file_digest(run / "model_final.safetensors") in weights.value
    assert weights.value.endswith("trained on: noise")
    assert gallery.value.endswith(" 2 vehicles")


def test_the_shipped_model_states_its_licence():
    assert not wrong(SHIPPED)
    licence = next(item for item in check_model(SHIPPED) if item.name.endswith("licence"))
    assert licence.value.startswith("The weights have SAV's licence")


def test_a_run_without_a_gallery_predicts_too(run):
    shutil.rmtree(run / "gallery")
    assert not wrong(run)


@pytest.mark.parametrize("file", ["model_final.safetensors", "gallery/gallery.safetensors"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        lambda data: b"",
        lambda data: b"\x02" + bytes(7) + b"[]",
        lambda data: safetensors('{"a": {"data_offsets": ["x", "y"]}}'),
        lambda data: safetensors('{"a": {"data_offsets": [0, null]}}'),
        lambda data: safetensors('{"__metadata__": [1]}'),
        lambda data: safetensors("[" * 100_000),
    ],
)
def test_files_that_are_cut_off_or_something_else_are_wrong(run, file, spoil):
    (run / file).write_bytes(spoil((run / file).read_bytes()))
    (found,) = wrong(run)
    assert str((run / file).parent) in found.value
    assert found.mend


@pytest.mark.parametrize("text", ["", "a: [", "- list", "[" * 20_000])
def test_configs_that_cannot_be_read_are_wrong(run, text):
    (run / "config.yaml").write_text(text)
    assert [item.name for item in wrong(run)] == [f"{run}: config"]


def test_missing_files_are_wrong(run):
    (run / "model_final.safetensors").unlink()
    (run / "config.yaml").unlink()
    (run / "gallery" / "gallery.json").write_text("{}")
    assert len(wrong(run)) == 3
    assert len(wrong(run / "nowhere")) == 1


@pytest.mark.parametrize("text", ['{"vehicle_ids": 3}', "[" * 100_000])
def test_a_gallery_that_lists_no_vehicles_is_wrong(run, text):
    (run / "gallery" / "gallery.json").write_text(text)
    assert [item.name for item in wrong(run)] == [f"{run}: gallery"]


def test_a_config_of_another_version_is_wrong(run):
    with (run / "config.yaml").open("a") as stream:
        stream.write("OF_TOMORROW: 3\n")
    assert not wrong(run)
    (found,) = wrong(run, keys=True)
    assert "OF_TOMORROW" in found.value
    assert "another version" in found.value


def test_a_card_in_another_encoding_is_named(run):
    (run / "MODEL_CARD.md").write_bytes(b"\xff")
    assert not wrong(run)
