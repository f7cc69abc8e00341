"""Every command in README and docs: it parses with the real parsers, and what it names exists."""

import argparse
import re
import runpy
import signal
import sys
from pathlib import Path

import pytest

from sav.cli import COMMANDS, full_parser
from sav.config import load_config

from .documented import ROOT, fenced_commands, inline_commands

FENCED = list(fenced_commands())
INLINE = list(inline_commands())
OTHERS = {"pip", "git", "cd", "docker", "curl"}
"""Programs that are not ours."""
OURS = ("configs/", "projects/", "benchmarks/", "docs/", "sav/")
CONFIG = ROOT / "configs" / "dsmlr" / "SAV-Tiny.yaml"


class ParsedError(BaseException):
    """Ends a script behind its command line."""

    def __init__(self, found):
        super().__init__()
        self.found = found


@pytest.fixture(scope="module")
def sav_parser():
    return full_parser()


@pytest.fixture
def parse(sav_parser, monkeypatch):
    """The arguments of a command, or None for programs that are not ours."""
    before = signal.getsignal(signal.SIGTERM)
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_end(parser, argv=None, namespace=None):
        raise ParsedError(parse_args(parser, argv, namespace))

    def script(words):
        """Runs a script, which is ended as soon as it has parsed its arguments."""
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
        monkeypatch.setattr(sys, "argv", list(words))
        monkeypatch.chdir(ROOT)
        try:
            if words[0] == "-m":
                monkeypatch.setattr(sys, "argv", list(words[1:]))
                runpy.run_module(words[1], run_name="__main__")
            else:
                runpy.run_path(words[0], run_name="__main__")
        except ParsedError as end:
            return end.found
        finally:
            monkeypatch.undo()
            signal.signal(signal.SIGTERM, before)
        raise AssertionError(f"{words[0]} has no command line")

    def parse(command):
        program, *words = command.words
        if program == "sav" and words[:1] not in (["--help"], ["--print-completion"]):
            return sav_parser.parse_args(words)
        if program == "torchrun":
            at = next(i for i, word in enumerate(words) if word.endswith(".py"))
            return script(words[at:])
        if program == "python" and words[0] != "-c":
            return script(words)
        if program == "make":
            targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(words) <= set(targets)
        assert program in {*OTHERS, "sav", "python", "make"}, f"unknown program {program}"
        return None

    return parse


def test_commands_are_found():
    programs = [command.words[0] for command in FENCED]
    assert programs.count("sav") >= 40
    assert {"python", "make", "pip", "torchrun"} <= set(programs)
    assert len(INLINE) >= 40


@pytest.mark.parametrize("command", FENCED, ids=str)
def test_each_command_parses_and_its_files_exist(command, parse):
    args = parse(command)
    for word in command.words:
        if word.startswith(OURS):
            assert (ROOT / word).exists(), word
    opts = getattr(args, "opts", None)
    if opts:
        # Run folders of the examples are not there; all configs have the same keys.
        named = Path(ROOT, str(getattr(args, "config_file", "")))
        load_config(named if named.is_file() else CONFIG, opts, experiment=True)


def test_extras_exist():
    known = set(re.findall(r'^        "(\w+)": \[', (ROOT / "setup.py").read_text(), re.MULTILINE))
    named = {e for c in FENCED for word in c.words for e in re.findall(r"^\.\[(.*)\]$", word)}
    assert {"train", "gpu"} <= named
    assert {extra for some in named for extra in some.split(",")} <= known


@pytest.mark.parametrize("command", INLINE, ids=str)
def test_commands_in_the_text_exist_and_have_these_options(command, sav_parser, capsys):
    program, *words = command.words
    options = [word for word in words if word.startswith("--")]
    if program == "sav" and words[0] in COMMANDS:
        help_texts = _help(sav_parser, words, capsys)
    elif program == "python" and words[0].endswith(".py"):
        assert (ROOT / words[0]).is_file()
        help_texts = (ROOT / words[0]).read_text("utf-8")
        options = []
    else:
        others = (["--help"], ["COMMAND", "--help"])
        assert program in ("make", "python", "torchrun") or words in others
        return
    for option in options:
        assert re.search(rf"{option}\b", help_texts), option


def _help(parser, words, capsys):
    """The help of the sub-command that the words lead to."""
    for word in words:
        groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not groups or word == "...":
            break
        names = groups[0].choices
        word = word.rstrip(",")  # noqa: PLW2901  "sav gallery build, inspect, query"
        if word.startswith("--"):
            return "\n".join(child.format_help() for child in names.values())
        assert word in names, f"there is no {word}"
        parser = names[word]
    return parser.format_help()
