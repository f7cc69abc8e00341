"""Labels, and the options that say how they are read."""

import argparse
from collections import Counter

import pytest

from sav.commands.options import add_label_arguments, label_rules
from sav.errors import SAVError
from sav.formats.labels import Labels

COMPOSED, DECOMPOSED = "r\u00f6d", "ro\u0308d"


def rules(*words):
    parser = argparse.ArgumentParser()
    add_label_arguments(parser)
    return label_rules(parser.parse_args(words))


@pytest.mark.parametrize("written", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("given", [COMPOSED, DECOMPOSED])
def test_the_form_of_unicode_does_not_count(written, given):
    renamed = Labels(["Wheel"], "test", *rules("--rename", f" {given} = Wheel"))
    assert renamed.read(written, Counter()) == "Wheel"
    assert Labels(["Wheel"], "test", *rules("--ignore", given)).read(written, Counter()) is None
    assert Labels([given], "test").read(written, Counter()) == given


def test_rules_that_contradict_each_other_are_errors():
    with pytest.raises(SAVError, match="'a' is given two new names, b and c"):
        rules("--rename", "a=b", "a=c")
    assert rules("--rename", "a=b", "a=b")[0] == {"a": "b"}
    with pytest.raises(SAVError, match="--ignore has it, too"):
        Labels(None, "", {"a": "b"}, frozenset({"a"}))
