"""What the lists of a COCO file say of each other, by id; nothing in them is taken for granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sav.errors import SAVError
from sav.formats.records import whole


def id_of(value: Any) -> str | None:
    """An id as a text, so that 7, 7.0 and "7" are one; None for what is no id.

    Some tools write the ids of images as text where annotations refer to them as numbers.
    """
    value = whole(value)
    return str(value) if type(value) in (int, str) else None


def annotations_of(annotations: list[Any], path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each annotation, and how a problem names it.

    Raises:
        SAVError: two have one id.
    """
    used: set[str] = set()
    for i, annotation in enumerate(annotations):
        number = id_of(annotation.get("id")) if isinstance(annotation, dict) else None
        if number is None:
            yield f"annotations[{i}]", annotation if isinstance(annotation, dict) else {}
            continue
        if number in used:
            raise SAVError(f"{path}: two annotations have the id {number}; number them anew")
        used.add(number)
        yield f"annotation {number}", annotation


def images_by_id(images: list[Any], path: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The images in natural order, whose file names are texts, and what is wrong with others.

    Raises:
        SAVError: there is none, or two have one id or one name.
    """
    if not images:
        raise SAVError(f"{path}: it lists no image")
    lost, owner = [], {}
    for i, image in enumerate(images):
        fields = image if isinstance(image, dict) else {}
        name, number = fields.get("file_name"), id_of(fields.get("id"))
        if not isinstance(name, str) or not name:
            lost.append(f"images[{i}]: its file_name is not a text")
        elif number is None:
            lost.append(f"images[{i}] ({name}): its id is neither a number nor a text")
        elif number in owner:
            both = f"{owner[number]['file_name']} and {name}"
            raise SAVError(f"{path}: image id {number} is used by {both}")
        else:
            owner[number] = image
    counts = Counter(image["file_name"] for image in owner.values())
    for name, count in counts.most_common(1):
        if count > 1:
            raise SAVError(f"{path}: image '{name}' is listed {count} times")
    # By length first: train2.jpg comes before train10.jpg.
    order = sorted(owner.items(), key=lambda one: (len(one[1]["file_name"]), one[1]["file_name"]))
    return dict(order), lost


def category_names(categories: list[Any], path: Path) -> dict[str, Any]:
    """Category id -> name, which may be anything; those that no annotation uses do no harm.

    Raises:
        SAVError: two have one id.
    """
    names: dict[str, Any] = {}
    for category in categories:
        number = id_of(category.get("id")) if isinstance(category, dict) else None
        if number is None:
            continue  # an annotation that refers to it says so
        if number in names:
            both = f"'{names[number]}' and '{category.get('name')}'"
            raise SAVError(f"{path}: category id {number} is used by {both}")
        names[number] = category.get("name")
    return names
