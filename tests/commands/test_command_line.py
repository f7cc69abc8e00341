"""The command line as a whole: the same names for the same things, and help that can be trusted."""

import argparse
import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from sav.cli import SHELLS, dispatch, full_parser
from sav.config import load_config

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "dsmlr" / "SAV-Tiny.yaml"
DETECTRON2 = {"--num-gpus", "--num-machines", "--machine-rank", "--dist-url"}
"""Options that are Detectron2's own."""


def leaves(parser):
    """The parsers without sub-commands, by the words that lead to them."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield parser.prog, parser
    for group in groups:
        for child in group.choices.values():
            yield from leaves(child)


@pytest.fixture(scope="module")
def parser():
    return full_parser()


@pytest.fixture(scope="module")
def commands(parser):
    return dict(leaves(parser))


def options(commands):
    for name, command in commands.items():
        for action in command._actions:
            for option in action.option_strings:
                yield name, option, action


def test_an_option_of_one_name_takes_the_same_everywhere(commands):
    seen = defaultdict(lambda: defaultdict(list))
    for name, option, action in options(commands):
        if option not in DETECTRON2:
            seen[option][action.metavar].append(name)
    # An output is a folder or a file.
    allowed = {"--output": {"DIR", "FILE"}, "--out": {"DIR", "FILE"}}
    different = {
        option: dict(metavars)
        for option, metavars in seen.items()
        if len(metavars) > 1 and set(metavars) != allowed.get(option)
    }
    assert not different


def test_every_argument_is_explained(commands):
    for name, command in commands.items():
        for action in command._actions:
            assert action.help, f"{name} {action.dest}"


def test_outputs_are_called_alike(commands):
    for name, option, action in options(commands):
        if option in ("--out", "--output"):
            assert action.option_strings == ["--output", "--out"], name


def test_defaults_are_stated(commands):
    for name, option, action in options(commands):
        stated = action.default in (None, False, argparse.SUPPRESS, "", []) or option in DETECTRON2
        text = commands[name].format_help()
        shown = " ".join(text.split())
        assert stated or "(default:" in shown, f"{name} {option}"
    assert "(default: json overlay)" in " ".join(commands["sav predict"].format_help().split())


def test_every_command_has_examples_and_each_parses(parser, commands):
    for name, command in commands.items():
        lines = (command.epilog or "").removeprefix("examples:\n").splitlines()
        assert lines, f"{name} has no examples"
        for line in lines:
            words = shlex.split(line.partition(" < ")[0])
            assert line.strip().startswith(name), f"{name}: {line}"
            args = parser.parse_args(words[1:])
            load_config(CONFIG, getattr(args, "opts", ()))  # their keys exist


def test_the_help_keeps_the_lines_of_the_examples_and_wraps_the_rest(commands, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = commands["sav bench photos"].format_help()
    description, examples = said.split("\n\n")[1], said.partition("examples:\n")[2]
    assert max(map(len, description.splitlines())) <= 80
    assert max(map(len, examples.splitlines())) > 80
    assert examples.splitlines()[0].startswith("  sav bench photos --model output/quickstart")


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_is_a_script(shell, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch(["--print-completion", shell])
    assert end.value.code == 0
    script = capsys.readouterr().out
    assert "doctor" in script
    assert "--vocabulary" in script


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """What bash proposes for the last word; no other program than bash can be found."""
    script = tmp_path_factory.mktemp("completion") / "sav.bash"
    command = [sys.executable, "-m", "sav.cli", "--print-completion", "bash"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=ROOT)
    script.write_bytes(done.stdout)

    def propose(*words):
        line = f"COMP_WORDS=(sav {shlex.join(words)}); COMP_CWORD={len(words)}"
        function = "${_line##* -F }"
        code = (
            f'source {script}; _line=$(complete -p sav); _line="{function}"; {line}\n'
            'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}\n'
            '"${_line%% *}" sav "${COMP_WORDS[COMP_CWORD]}" "" 2> /dev/null\n'
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        found = subprocess.run(
            ["/bin/bash", "--norc", "-c", code],
            capture_output=True, text=True, check=True, env={"PATH": "/nowhere"}, cwd=script.parent,
        )  # fmt: skip
        return found.stdout.split()

    return propose


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="there is no bash")
def test_bash_completes_without_python(complete):
    assert complete("gal") == ["gallery"]
    assert complete("gallery", "in") == ["inspect"]
    assert "--score-threshold" in complete("predict", "photo.jpg", "--sc")
    assert set(complete("prepare", "c")) == {"coco", "cvat"}
    assert "sav.bash" in complete("check", "sav")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["--print-completion", "cmd"],
        ["predict"],
        ["predict", "photo.jpg", "--score-threshold", "2"],
        ["synth", "--train", "-1"],
        ["check", "data", "--min-rank", "high"],
        ["graph", "show", "--json", "vehicle"],
        ["gallery"],
    ],
)
def test_wrong_words_are_exit_code_2(words, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch(words)
    assert end.value.code == 2
    usage, *_, error = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: sav")
    assert re.match(r"sav.*: error: .", error)


def test_json_put_before_another_argument_says_what_to_do(capsys):
    with contextlib.suppress(SystemExit):
        dispatch(["graph", "show", "--json", "vehicle"])
    assert "'vehicle' has no ending such as .json; give another name, or put --json last" in (
        capsys.readouterr().err
    )
