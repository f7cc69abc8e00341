"""What comes of a data set, spoiled or not: an error, or photos, their parts and problems."""

from typing import NamedTuple

from sav.errors import SAVError
from sav.formats.entries import ready
from sav.formats.labels import Labels
from sav.formats.reading import Reading, read_entry

CLASSES = ("Wheel", "door")
READING = Reading(Labels(CLASSES, "test"))


class Outcome(NamedTuple):
    error: str
    parts: dict[str, int]  # of each photo that is kept
    problems: list[str]
    notes: dict[str, int]


def outcome(form, data, images=None, reading=READING):
    """As `sav prepare` and `sav convert` read a data set; only a SAVError may come out."""
    try:
        entries = ready(form, form.find(data, images), data.parent / "pictures")
    except SAVError as error:
        return Outcome(str(error), {}, [], {})
    found = Outcome("", {}, [], {})
    for entry in entries:
        result = read_entry(form, reading, entry)
        found.problems.extend(str(problem) for problem in result.problems)
        found.notes.update({note: count for note, count in result.notes.items() if count})
        if result.image is not None:
            found.parts[result.image["file_name"]] = len(result.instances)
    for line in (found.error, *found.problems):
        assert line.isprintable()
        assert len(line) < 1500
    return found
