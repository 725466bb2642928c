"""The whole repository against the house rules, and every rule against a planted offender."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import docstring_rules, house_rules

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# What may break a rule, beside the reason. What needs no line here, since it is general: typer's verbs, pytest's tests,
# fixtures and hooks (their parameters are filled in by name), functions that hypothesis draws for, callbacks defined
# inside a function (whoever takes them fixes the call), and Python's own protocols such as __exit__.
EXEMPT: dict[tuple[str, str], str] = {
    ("many_positional", "src/nucleate/train/losses.py"): "losses stand in a table and are called through it alike",
    ("many_positional", "src/nucleate/apps/napari/writer.py"): "napari gives path, data and meta by position",
}

RULES_FOR_ALL: list[Callable[[ast.Module], list[str]]] = [
    house_rules.long_bodies,
    house_rules.many_parameters,
    house_rules.empty_asserts,
    house_rules.chained_is,
]
RULES_FOR_SOURCES: list[Callable[[ast.Module], list[str]]] = [
    house_rules.many_positional,
    house_rules.undeclared,
    docstring_rules.missing_docstrings,
    docstring_rules.false_parameters,
]


def _offences(rules: list[Callable[[ast.Module], list[str]]], files: list[Path]) -> str:
    found: list[str] = []
    for path in files:
        name, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))
        for rule in rules:
            if (rule.__name__, name) not in EXEMPT:
                found += [f"{name}:{line}" for line in rule(tree)]
    return "\n".join(found)


def test_all_files_keep() -> None:
    assert _offences(RULES_FOR_ALL, SOURCES + TESTS) == ""


def test_sources_keep() -> None:
    assert _offences(RULES_FOR_SOURCES, SOURCES) == ""


def test_every_test_asserts() -> None:
    assert _offences([house_rules.silent_tests], TESTS) == ""


def test_only_the_doors_print() -> None:
    assert _offences([house_rules.printing], [p for p in SOURCES if "apps" not in p.parts]) == ""


@pytest.mark.parametrize("rule", [house_rules.long_file, house_rules.unfinished], ids=lambda rule: rule.__name__)
def test_text_keeps(rule: Callable[[str], list[str]]) -> None:
    files = [*SOURCES, *TESTS]
    found = [f"{p.relative_to(ROOT)}:{line}" for p in files for line in rule(p.read_text(encoding="utf-8"))]
    assert "\n".join(found) == ""


def test_module_names_say_something() -> None:
    names = {part for path in SOURCES + TESTS for part in [path.stem, *path.relative_to(ROOT).parts[:-1]]}
    assert house_rules.empty_names(sorted(names)) == []


def test_exemptions_are_still_needed() -> None:
    rules = {rule.__name__: rule for rule in RULES_FOR_ALL + RULES_FOR_SOURCES}
    stale = [key for key in EXEMPT if not rules[key[0]](ast.parse((ROOT / key[1]).read_text(encoding="utf-8")))]
    assert stale == []


def _tracked() -> list[Path]:
    asked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if asked.returncode:
        pytest.skip("not a git checkout: the list of files is not known")
    named = (ROOT / name for name in asked.stdout.decode().split("\0") if name)
    return [path for path in named if path.is_file()]


def test_no_machine_paths() -> None:
    # Built from parts, so that this file does not find itself.
    machine = re.compile(
        rb"(?<![\w.])/(?:" + b"|".join([b"ro" + b"ot", b"wo" + b"rk", b"home/[a-z]", b"tmp/ba" + b"sh"]) + rb")\b"
    )
    texts = [p for p in _tracked() if p.suffix not in {".png", ".onnx", ".tif", ".npz"}]
    found = [f"{p.relative_to(ROOT)}: {m.group().decode()}" for p in texts for m in machine.finditer(p.read_bytes())]
    assert "\n".join(found) == ""


def test_no_large_files() -> None:
    large = [f"{p.relative_to(ROOT)}: {p.stat().st_size / 1e6:.0f} MB" for p in _tracked() if p.stat().st_size > 40e6]
    assert "\n".join(large) == ""


# --- each rule catches a planted offender and lets the nearest innocent pass ----------------------------------------

PLANTED: list[tuple[Callable[[ast.Module], list[str]], str, str]] = [
    (
        house_rules.long_bodies,
        "def f():\n" + "    x = 1\n" * 61,
        'def f():\n    """Say.' + "\n" * 70 + '    """\n' + "    x = 1\n" * 60,
    ),
    (house_rules.long_bodies, "class A:\n  async def f(self):\n" + "    x = 1\n" * 61, "class A:\n" + "  x = 1\n" * 61),
    (house_rules.many_parameters, "def f(a, b, *, c, d, e, f, g, h, i): ...", "def f(a, b, *, c, d, e, f, g, h): ..."),
    (
        house_rules.many_parameters,
        "def f(a, b, c, d, e, f, g, h, i): ...",
        "@app.command()\ndef f(a, b, c, d, e, f, g, h, i): ...",
    ),
    (house_rules.many_positional, "def f(a, b, c): ...", "def f(a, b, *, c): ..."),
    (house_rules.many_positional, "class A:\n  def f(self, a, b, c): ...", "def f():\n  def g(a, b, c): ..."),
    (house_rules.many_positional, "class A:\n  def f(self, a, b, c): ...", "class A:\n  def f(self, a, b): ..."),
    (
        house_rules.many_positional,
        "class A:\n  @staticmethod\n  def f(a, b, c): ...",
        "class A:\n  def __exit__(self, a, b, c): ...",
    ),
    (
        house_rules.many_positional,
        "def f(a, b, c: int = 1): ...",
        "def f(a: A, b: B, c: Annotated[int, typer.Option()] = 1): ...",
    ),
    (house_rules.empty_asserts, "assert (x, 'why')", "assert x, 'why'"),
    (house_rules.empty_asserts, "assert [x for x in y if x]", "assert not [x for x in y if x]"),
    (house_rules.empty_asserts, "assert 'x'", "assert x"),
    (house_rules.empty_asserts, "assert True", "assert flag is True"),
    (house_rules.chained_is, "x is None == y", "(x is None) == y"),
    (house_rules.chained_is, "a == b is not None", "0 < a < b"),
    (house_rules.silent_tests, "def test_a():\n    f()", "def test_a():\n    assert f()"),
    (
        house_rules.silent_tests,
        "def g():\n    h()\ndef h():\n    g()\ndef test_a():\n    g()",
        "def g():\n    assert h()\ndef test_a():\n    g()",
    ),
    (
        house_rules.silent_tests,
        "def test_a():\n    x.raise_for()",
        "def test_a():\n    with pytest.raises(E):\n        f()",
    ),
    (
        house_rules.silent_tests,
        "def test_a():\n    np.asarray(1)",
        "def test_a():\n    np.testing.assert_allclose(1, 1)",
    ),
    (house_rules.printing, "def f():\n    print(1)", "def f():\n    console.print(1)"),
    (house_rules.undeclared, "def f(): ...", "def _f(): ..."),
    (house_rules.undeclared, "__all__ = ['f']\nX = 1\ndef f(): ...", "__all__ = ['X', 'f']\nX = 1\ndef f(): ..."),
    (
        house_rules.undeclared,
        "__all__ = ['f', 'g']\ndef f(): ...",
        "from a import g\n__all__ = ['f', 'g']\ndef f(): ...",
    ),
    (docstring_rules.missing_docstrings, "def f(): ...", '"""M."""\ndef _f(): ...'),
    (
        docstring_rules.missing_docstrings,
        '"""M."""\nclass A:\n    """A."""\n    def f(self): ...',
        '"""M."""\nclass _A:\n    def f(self): ...',
    ),
]

_FALSE = 'def f(a, b):\n    """Say.\n\n    Parameters\n    ----------\n    {}\n    """'
PLANTED_DOCSTRINGS = [
    (_FALSE.format("a : int\n        One."), _FALSE.format("a, b : int\n        Two.")),
    (_FALSE.format("a : int\n    B : int"), _FALSE.format("b : str, optional\n    a : int")),
    (_FALSE.format("a : int\n    b : int\n    c : int"), _FALSE.format("a : int\n    b : {'x', 'y'}")),
    (
        'class A:\n    """A.\n\n    Parameters\n    ----------\n    x : int\n    """\n    x: int\n    y: int = 1',
        (
            'class A:\n    """A.\n\n    Parameters\n    ----------\n    x, y : int\n    """\n'
            "    N: ClassVar[int] = 2\n    x: int\n    y: int = 1"
        ),
    ),
]


@pytest.mark.parametrize(("rule", "offender", "innocent"), PLANTED, ids=[rule.__name__ for rule, *_ in PLANTED])
def test_rule_catches(rule: Callable[[ast.Module], list[str]], offender: str, innocent: str) -> None:
    assert len(rule(ast.parse(offender))) >= 1
    assert rule(ast.parse(innocent)) == []


@pytest.mark.parametrize(("offender", "innocent"), PLANTED_DOCSTRINGS, ids=range(len(PLANTED_DOCSTRINGS)))
def test_false_parameters_are_caught(offender: str, innocent: str) -> None:
    assert len(docstring_rules.false_parameters(ast.parse(offender))) == 1
    assert docstring_rules.false_parameters(ast.parse(innocent)) == []


def test_text_rules_catch() -> None:
    assert house_rules.long_file("x = 1\n" * 401) == ["1: 401 lines, at most 400"]
    assert house_rules.long_file("x = 1\n" * 400) == []
    assert house_rules.unfinished("x = 1  # TO" + "DO: later\n") == ["1: # TO" + "DO: later"]
    assert house_rules.unfinished("x = 'TO" + "DO'  # says what it does\n") == []
    assert house_rules.empty_names(["image", "utils", "_helpers"]) == [
        "1: a module called utils",
        "1: a module called _helpers",
    ]


def test_sections_are_read() -> None:
    text = "Say.\n\nParameters\n----------\na, b : (H, W) int ndarray\n    Two.\n*rest : str\n\nReturns\n-------\nint"
    parts = docstring_rules.sections(text)
    assert list(parts) == ["Parameters", "Returns"]
    assert docstring_rules.documented(parts["Parameters"]) == ["a", "b", "rest"]
