"""JSON files of strangers."""

import pytest

from sav.errors import SAVError
from sav.formats.json_files import read_json


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_any_encoding_of_json_is_read(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes('{"a": "ü",\r\n "b": 1}'.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"a": "ü", "b": 1}


def test_a_key_that_is_there_twice_hides_nothing(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [], "annotations": [1], "annotations": []}')
    with pytest.raises(SAVError, match="the key 'annotations' is there twice"):
        read_json(tmp_path / "a.json")
