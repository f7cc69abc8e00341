"""MkDocs hooks: what links of the documentation lead to outside of ``docs/`` is in the site, too.

A forge shows any file of a repository, a site only its own pages. So the README is the home page,
Markdown files of other folders become pages with all that they link to, and other files, folders
and notebooks become pages that show them.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "repository"
"""Of the site, for what lies outside of docs/."""

_FENCED = re.compile(r"(^ *(`{3,}).*?^ *\2`*$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the home page, notebooks, and all that pages link to."""
    waiting = ["README.md"]
    waiting += [f"docs/{file.src_uri}" for file in files if file.is_documentation_page()]
    waiting += [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".ipynb")]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        text = _text(path)
        if files.get_file_from_path(_page_of(path)) is None:
            files.append(File.generated(config, _page_of(path), content=text))
        for link in _links(path, text):
            if link not in seen and (files.get_file_from_path(_page_of(link)) is None):
                waiting.append(link)
            seen.add(link)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page, which are right in the repository, into those of the site."""
    place = page.file.src_uri
    path = _path_of(place)

    def turned(link: re.Match[str]) -> str:
        target = normpath(join(dirname(path), link[1]))
        return relpath(_page_of(target), dirname(place)) if (ROOT / target).exists() else link[1]

    parts = _FENCED.split(markdown)
    for at in range(0, len(parts), 3):  # then the block, and its fence
        parts[at] = _LINK.sub(turned, parts[at])
    return "".join(part for at, part in enumerate(parts) if at % 3 != 2)


def _links(path: str, text: str) -> list[str]:
    """The files and folders of the repository that a page links to."""
    targets = (normpath(join(dirname(path), link)) for link in _LINK.findall(_FENCED.sub("", text)))
    return [target for target in targets if (ROOT / target).exists()]


def _page_of(path: str) -> str:
    """Where a file or folder of the repository is in the site, from the site's root."""
    if (ROOT / path).is_dir():
        readme = (ROOT / path / "README.md").is_file()
        return _page_of(f"{path}/README.md") if readme else f"{FOLDER}/{path}/index.md"
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/") and not path.endswith(".py"):
        return path.removeprefix("docs/").replace(".ipynb", ".md")
    return f"{FOLDER}/{path}" if path.endswith(".md") else f"{FOLDER}/{path}.md"


def _path_of(page: str) -> str:
    """The file of the repository that is written in Markdown and shown by a page."""
    if page == "index.md":
        return "README.md"
    return page.removeprefix(f"{FOLDER}/") if page.startswith(FOLDER) else f"docs/{page}"


def _text(path: str) -> str:
    """A file or folder of the repository as Markdown."""
    file = ROOT / path
    if file.is_dir():
        return _folder(path)
    text = file.read_text("utf-8")
    if path.endswith(".md"):
        return text
    if path.endswith(".ipynb"):
        return _notebook(text)
    language = {".py": "python", ".yaml": "yaml", ".json": "json"}.get(file.suffix, "text")
    return f"{_unsearched(path)}````{language}\n{text}\n````\n"


def _folder(path: str) -> str:
    """What each module of a folder is for."""
    lines = []
    for entry in sorted((ROOT / path).iterdir()):
        module = entry / "__init__.py" if entry.is_dir() else entry
        if module.suffix == ".py" and module.is_file():
            about = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
            lines.append(f"| `{entry.name}` | {about.partition(chr(10))[0]} |")
    return f"{_unsearched(path)}| | |\n|---|---|\n" + "\n".join(lines) + "\n"


def _notebook(text: str) -> str:
    cells = json.loads(text)["cells"]
    fence = {"markdown": "{}", "code": "```python\n{}\n```"}
    return "\n\n".join(fence[cell["cell_type"]].format("".join(cell["source"])) for cell in cells)


def _unsearched(title: str) -> str:
    return f"---\nsearch:\n  exclude: true\n---\n\n# {title}\n\n"
