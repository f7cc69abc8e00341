"""The commands that README and docs show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "projects" / "SAV" / "README.md",
    ROOT / "datasets" / "README.md",
]
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:sav|make|python|torchrun) [^`]+)`")
_SHELLS = ("", "bash", "sh", "console")
_ENDS = {"|", "&&", ";", "&"}


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        place: file and line.
        words: without redirections and settings of the environment.
    """

    place: str
    words: tuple[str, ...]

    def __str__(self):
        return f"{self.place}: {shlex.join(self.words)}"


def fenced_commands():
    """Every command in a block of shell commands."""
    for file in FILES:
        text = file.read_text("utf-8")
        for block in _FENCE.finditer(text):
            if block[1] in _SHELLS:
                line = text.count("\n", 0, block.start(2)) + 1
                place = f"{file.relative_to(ROOT)}:{line}"
                yield from _commands(block[2], place)


def inline_commands():
    """Every command in running text, which may be short for many: words and ellipses in it."""
    for file in FILES:
        text = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), file.read_text("utf-8"))
        for found in _INLINE.finditer(text):
            place = f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}"
            yield from _commands(found[1].replace("\n", " "), place)


def _commands(text, place):
    for line in re.sub(r"\\\n", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.commenters = "#"
        lexer.whitespace_split = True
        words = []
        for word in (*lexer, ";"):
            if word not in _ENDS:
                words.append(word)
            elif command := _plain(words):
                yield Command(place, command)
                words = []


def _plain(words):
    """Without redirections, NAME=VALUE before the command, and the folder of the environment."""
    words = list(words)
    for sign in ("<", ">", ">>"):
        while sign in words:
            at = words.index(sign)
            del words[at : at + 2]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    if words and words[0] == "$":
        del words[0]
    if words:
        words[0] = words[0].removeprefix(".venv/bin/")
    return tuple(words)
