"""The page of the study is filled from the tables of the study, and from nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.base

DOCS = Path(__file__).resolve().parents[1] / "docs"

TABLE = """\
idea,says,parts,images,kaggle,low,high,gain,gain_low,gain_high,by_part,verdict,seconds,predict_seconds,megabytes,made
baseline,the paper's system,3,9,0.4000,0.3,0.5,0.0,0.0,0.0,+0.000 +0.000 +0.000,no clear difference,300.0,1.0,7.7,x
crops,cut,3,9,0.4512,0.3,0.6,0.0512,0.01,0.09,+0.050 +0.060 +0.040,helped,310.0,1.0,7.7,x
clean,small,3,9,0.3900,0.3,0.5,-0.0100,-0.02,-0.001,-0.010 -0.010 -0.010,hurt,300.0,1.0,7.7,x
another-seed,chance,3,9,0.4010,0.3,0.5,0.0010,-0.01,0.01,+0.003 -0.001 +0.001,no clear difference,300.0,1.0,7.7,x
"""
KINDS = "idea,kind,images,kaggle,gain\nbaseline,a,9,0.4,0.0\ncrops,a,9,0.45,0.05\nclean,a,9,0.39,-0.01\n"
KINDS += "another-seed,a,9,0.401,0.001\n"
TYPES = "kind,idea,images,seen,unseen,change,low,high\na,baseline,9,0.4,0.3,-0.1,-0.2,0.0\n"
NAMES = ("setting", "sum", "figure", "table", "kinds", "types", "crops", "three-class")


@pytest.fixture
def page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("next_steps_page", DOCS / "next_steps.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_results_say(page: ModuleType) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert text == page.fill(text, page.RESULTS), "run: python docs/next_steps.py"


def test_every_option_of_the_study_has_its_place(page: ModuleType) -> None:
    configs = {path.stem.removeprefix("next-") for path in (DOCS.parent / "configs").glob("next-*.toml")}
    text = page.PAGE.read_text(encoding="utf-8")
    assert [name for name in sorted(configs - {"leave-one-type-out"}) if f"<!-- {name} -->" not in text] == []


def test_marks_are_filled(page: ModuleType, tmp_path: Path) -> None:
    blank = "Before.\n\n" + "".join(f"<!-- {name} -->\nold\n<!-- end -->\n\n" for name in NAMES) + "After.\n"
    empty = page.fill(blank, tmp_path)
    assert empty.count("Not run yet.") == len(NAMES)
    (tmp_path / "strips").mkdir()
    for name, text in (("table.csv", TABLE), ("kinds.csv", KINDS), ("types.csv", TYPES), ("strips/crops.jpg", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "table.md").write_text("# T\n\n| a |\n\n- Folds 0\n- x.\n\n## By type\n\n- no\n", encoding="utf-8")
    full = page.fill(empty, tmp_path)
    assert full == page.fill(blank, tmp_path)
    assert full.startswith("Before.")
    assert full.endswith("After.\n")
    for said in (
        "<!-- setting -->\n- Folds 0\n- x.\n<!-- end -->",
        "scores 0.400 on 9 held-out images",
        "- **Helped** (1): `crops` +0.051 [+0.010, +0.090]\n- **Hurt** (1): `clean` -0.010 [-0.020, -0.001]\n",
        "- **No clear difference** (0): none\n- **Another seed and nothing else**: +0.001 [-0.010, +0.010]",
        "<!-- figure -->\nNot run yet.",
        "| crops | cut | 0.451 [0.300, 0.600] | +0.051 [+0.010, +0.090] | +0.050 +0.060 +0.040 | helped | 310 | 7.7 |",
        "| idea | a (9) |\n|---|---|\n| baseline | 0.400 |\n| crops | +0.050 |",
        "| a | baseline | 9 | 0.400 | 0.300 | -0.100 [-0.200, +0.000] |",
        "by fold +0.050 +0.060 +0.040: **helped**. 310 s a network.\n\n![crops](../../results",
        "<!-- three-class -->\nNot run yet.",
    ):
        assert said in full
