"""Every code block and every command line of the documentation runs here; every link leads somewhere."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests import markdown

pytestmark = pytest.mark.base

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)])
MODULES = sorted((ROOT / "src").rglob("*.py"))

# Blocks that cannot run in a test, with the number on each page. A new one must be entered here, beside its reason in
# the page: ```bash no-run: reason
NOT_RUN: dict[str, int] = {
    "CONTRIBUTING.md": 1,
    "README.md": 2,
    "docs/guide/install.md": 3,
    "docs/how-to/cluster.md": 5,
    "docs/how-to/napari.md": 1,
    "docs/how-to/plate.md": 1,
    "docs/how-to/web-page.md": 2,
}

# Languages that are shown, not run.
SHOWN = {"text", "toml", "json", "csv", "yaml", "bibtex"}


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _pages_with(*languages: str) -> list[Path]:
    def runs(block: markdown.Block) -> bool:
        return block.language in languages and block.reason_not_to_run is None

    return [page for page in PAGES if any(runs(b) for b in markdown.blocks(page.read_text(encoding="utf-8")))]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder the pages work in: cells.tif, a folder my-images/ and its hand-made truth/."""
    rows, cols = np.mgrid[:160, :200]
    centres = [(r, c) for r in (30, 80, 130) for c in (30, 80, 130, 170)]
    truth = np.zeros((160, 200), np.uint16)
    for number, (r, c) in enumerate(centres, 1):
        truth[((rows - r) / 12) ** 2 + ((cols - c) / 15) ** 2 < 1] = number
    noise = np.random.default_rng(0).normal(0, 40, truth.shape)
    picture = np.clip(300 + 2500 * (truth > 0) + noise, 0, 65535).astype(np.uint16)
    for folder in ("my-images", "truth"):
        (tmp_path / folder).mkdir()
    resolution = (1 / 0.65, 1 / 0.65)
    tifffile.imwrite(tmp_path / "cells.tif", picture, imagej=True, resolution=resolution, metadata={"unit": "um"})
    for name in ("well-a1", "well-a2"):
        Image.fromarray((picture // 16).clip(0, 255).astype(np.uint8)).save(tmp_path / "my-images" / f"{name}.png")
        tifffile.imwrite(tmp_path / "truth" / f"{name}.tif", truth)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(words: list[str], desk: Path) -> str:
    assert words[0] == "nucleate", f"only nucleate is run in a test, got {words[0]}; mark the block: no-run: reason"
    script = Path(sys.executable).with_name("nucleate")
    plain = {"HOME": str(desk), "NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [script, *words[1:]], cwd=desk, env=os.environ | plain, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", _pages_with("python", "bash", "console"), ids=_name)
def test_blocks_run(page: Path, desk: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    if re.search(r"nucleate (segment|screen|demo|doctor)|nucleate\.(segment|load_segmenter)", text):
        request.getfixturevalue("shipped_model")
    if re.search(r"^nucleate (train|paper|ablate)", text, re.MULTILINE) and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    checker, names = doctest.OutputChecker(), {"__name__": "page"}
    ran = 0
    for block in markdown.blocks(text):
        if block.reason_not_to_run is not None:
            continue
        if block.language == "python":
            # The newlines put the page's own line numbers into a traceback.
            exec(compile("\n" * block.line + block.text, _name(page), "exec"), names)
            ran += 1
        for words, expected in block.commands() if block.language in {"bash", "console"} else []:
            got = _run(words, desk)
            ran += 1
            same = checker.check_output(expected, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            assert not expected.strip() or same, f"line {block.line}: {' '.join(words)}\n{got}"
    assert ran > 0


def _given_twice(texts: dict[str, str]) -> list[str]:
    """List the commands that write into a folder of another command: one that holds results is refused."""
    given: dict[str, str] = {}
    twice = []
    for name, text in texts.items():
        for block in markdown.blocks(text):
            for words, _ in block.commands() if block.language in {"bash", "console"} else []:
                if "-o" not in words or "--resume" in words:
                    continue
                folder = words[words.index("-o") + 1]
                if folder in given:
                    twice.append(f"{name}:{block.line}: {folder} is that of {given[folder]}")
                given[folder] = f"{name}:{block.line}"
    return twice


def test_pages_can_be_followed_one_after_the_other() -> None:
    assert "\n".join(_given_twice({_name(page): page.read_text(encoding="utf-8") for page in PAGES})) == ""


def test_blocks_not_run_are_known() -> None:
    found: dict[str, int] = {}
    for page in PAGES:
        for block in markdown.blocks(page.read_text(encoding="utf-8")):
            if block.reason_not_to_run is not None:
                found[_name(page)] = found.get(_name(page), 0) + 1
                assert len(block.reason_not_to_run) > 8, f"{_name(page)}:{block.line}: say why it cannot run"
    assert found == NOT_RUN


def test_every_block_has_a_known_language() -> None:
    known = {"python", "bash", "console"} | SHOWN
    found = [
        f"{_name(page)}:{block.line}: {block.language or 'no language'}"
        for page in PAGES
        for block in markdown.blocks(page.read_text(encoding="utf-8"))
        if block.language not in known
    ]
    assert "\n".join(found) == ""


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert markdown.broken_links(page) == []


def test_every_page_is_in_the_contents() -> None:
    named = set(
        re.findall(r"^   ([\w-]+/[\w-]+)$", (DOCS / "index.rst").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    pages = {p.relative_to(DOCS).with_suffix("").as_posix() for p in PAGES if p.is_relative_to(DOCS)}
    assert pages - {"README"} == named


def test_reference_shows_every_verb_and_option() -> None:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "run: make reference"


# --- the examples in the docstrings ---------------------------------------------------------------------------------


def _has_examples(path: Path) -> bool:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return any(">>> " in (ast.get_docstring(node) or "") for node in nodes if isinstance(node, documented))


@pytest.mark.parametrize("path", [p for p in MODULES if _has_examples(p)], ids=_name)
def test_examples_in_docstrings(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    if name.split(".")[1:2] in (["nets"], ["train"], ["study"]) and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted > 0
    assert outcome.failed == 0


# --- the readers of pages are right themselves -----------------------------------------------------------------------

SAMPLE = """# A page

```python
x = 1
```

## Do it, now!

```bash no-run: it takes a day
nucleate train
```

- in a list

  ```console
  $ nucleate segment a.png \\
      -o out
  $ nucleate models   # all of them
  name  size
  ...
  ```

[here](#do-it-now) [there](other.md#nothing) `[not](a-link.md)` [web](https://example.org/x.md)
"""


def test_blocks_are_read() -> None:
    first, second, third = markdown.blocks(SAMPLE)
    assert (first.line, first.language, first.text) == (3, "python", "x = 1\n")
    assert (second.language, second.reason_not_to_run) == ("bash", "it takes a day")
    assert third.commands() == [
        (["nucleate", "segment", "a.png", "-o", "out"], ""),
        (["nucleate", "models"], "name  size\n...\n"),
    ]
    with pytest.raises(ValueError, match="never closed"):
        markdown.blocks("```python\nx = 1\n")


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(SAMPLE, encoding="utf-8")
    assert markdown.broken_links(page) == ["page.md: no file other.md"]
    (tmp_path / "other.md").write_text("# Something\n", encoding="utf-8")
    assert markdown.broken_links(page) == ["page.md: no heading other.md#nothing"]


def test_a_folder_given_twice_is_caught() -> None:
    page = "```bash\nnucleate segment a.png -o out\n```\n"
    again = "```bash\nnucleate segment a.png -o out --resume\n```\n"
    assert _given_twice({"one.md": page, "two.md": again}) == []
    assert _given_twice({"one.md": page, "two.md": page}) == ["two.md:1: out is that of one.md:1"]


def test_only_nucleate_is_run(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="only nucleate is run"):
        _run(["rm", "-r", "x"], tmp_path)
