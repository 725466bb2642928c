"""Cards and models on disk: round trip, hashes, and one line for every fault."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nucleate.core.normalize import Normalizer
from nucleate.errors import ModelError
from nucleate.post.recipe import PostRecipe
from nucleate.run import weights
from nucleate.run.weights import DEFAULT_MODEL, ModelCard, find_model, list_models, read_card, write_card

pytestmark = pytest.mark.base

CONTENT = b"not a network, but bytes with a hash"


def make_card(**fields: Any) -> ModelCard:  # noqa: ANN401 - fields of a card
    given = {"name": "tiny", "sha256": hashlib.sha256(CONTENT).hexdigest()}
    return ModelCard(**(given | fields))


def put(folder: Path, **fields: Any) -> Path:  # noqa: ANN401 - as above
    write_card(folder / "tiny.toml", make_card(**fields))
    (folder / "tiny.onnx").write_bytes(CONTENT)
    return folder / "tiny.onnx"


def test_a_card_comes_back_as_written(tmp_path: Path) -> None:
    card = make_card(
        description='with "quotes", a \\ and µm',
        network={"name": "unet", "width": 16},
        normalizer=Normalizer(channels=3, scaling="range"),
        maps=("mask", "distance", "border"),
        recipe=PostRecipe(threshold="hysteresis", split="markers", min_area=9),
        diameter_px=17.25,
        input_size=256,
        scores={"kaggle": 0.5, "interval": {"kaggle": [0.4, 0.6]}},
    )
    write_card(tmp_path / "card.toml", card)
    assert read_card(tmp_path / "card.toml") == card


def test_defaults_need_name_and_hash_only(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text(f'name = "a"\nsha256 = "{"0" * 64}"\n')
    card = read_card(tmp_path / "card.toml")
    assert (card.maps, card.recipe, card.normalizer) == (("mask",), PostRecipe(), Normalizer())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("speed = 3", "speed: Extra inputs"),
        ("multiple = 0", "multiple: "),
        ('maps = ["border"]', "'mask' must be among them"),
        ('maps = ["mask", "mask"]', "each name once"),
        ("input_size = 100", "no multiple of"),
        ("[recipe]\nlevel = 7", "level = 7"),
        ("[recipe]\nspeed = 7", "no field 'speed'"),
        ("[normalizer]\nspeed = 7", "no field 'speed'"),
        ('[normalizer]\nscaling = "none"', "normalizer.scaling"),
        ("a b", "is not TOML"),
    ],
)
def test_faults_of_a_card_are_one_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "card.toml"
    path.write_text(f'name = "a"\nsha256 = "{"0" * 64}"\n{line}\n')
    with pytest.raises(ModelError, match=message) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "lonely.onnx").write_bytes(CONTENT)
    with pytest.raises(ModelError, match=r"no card .*lonely\.toml"):
        find_model(tmp_path / "lonely.onnx")


def test_a_model_is_found_by_file_card_and_folder(tmp_path: Path) -> None:
    onnx = put(tmp_path)
    for name in (onnx, str(onnx), onnx.with_suffix(".toml"), tmp_path, str(tmp_path)):
        files = find_model(name)
        assert files.onnx == onnx
        assert files.read() == CONTENT


@pytest.mark.parametrize(("stem", "name"), [("mine", "mine"), ("my nuclei 2", "my-nuclei-2"), ("μ", "tiny")])
def test_a_model_is_called_as_its_files_are(tmp_path: Path, stem: str, name: str) -> None:
    onnx = put(tmp_path)
    assert find_model(onnx).card.name == "tiny" == onnx.stem
    for path in (onnx, onnx.with_suffix(".toml")):
        path.rename(path.with_stem(stem))
    assert find_model(tmp_path / f"{stem}.onnx").card.name == name


def test_another_file_than_the_cards_is_refused(tmp_path: Path) -> None:
    onnx = put(tmp_path)
    onnx.write_bytes(CONTENT[:-1])
    with pytest.raises(ModelError, match="not the file its card describes"):
        find_model(onnx).read()


def test_wrong_paths_and_names(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        find_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"holds 0 \.onnx files"):
        find_model(tmp_path)
    with pytest.raises(ModelError, match="no model 'no-such-model'; there are"):
        find_model("no-such-model")


def test_shipped_models_are_listed_and_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path)
    monkeypatch.setattr(weights, "_shipped", lambda: {"tiny": tmp_path / "tiny.onnx"})
    assert [files.card.name for files in list_models()] == ["tiny"]
    assert find_model("tiny").onnx == tmp_path / "tiny.onnx"


def test_a_shipped_name_is_no_folder_and_a_folder_of_that_name_is_found_with_a_separator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (DEFAULT_MODEL, "mine"):
        (tmp_path / name).mkdir()
        put(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert find_model().onnx == find_model(DEFAULT_MODEL).onnx
    assert find_model().card.name == DEFAULT_MODEL
    for folder in (f"./{DEFAULT_MODEL}/", f"../{tmp_path.name}/{DEFAULT_MODEL}", Path(DEFAULT_MODEL), "mine"):
        assert find_model(folder).read() == CONTENT


def test_a_working_folder_that_may_not_be_entered_holds_no_models(tmp_path: Path) -> None:
    ask = (
        "import os, sys; from tests.powerless import give_up_powers; from nucleate.run.weights import find_model\n"
        "os.chdir(sys.argv[1]); os.chmod('.', 0); give_up_powers(); print(find_model().card.name)\n"
        "for name in ('mine', 'mine.onnx'):\n"
        "    try: find_model(name)\n"
        "    except Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", ask, str(tmp_path)], capture_output=True, text=True, check=False)
    tmp_path.chmod(0o700)
    assert done.stdout.split() == [DEFAULT_MODEL, "UnknownModelError", "UnknownModelError"], done.stderr


def test_every_shipped_model_is_the_one_its_card_describes() -> None:
    models = list_models()
    for files in models:
        assert files.card.name == files.onnx.stem
        assert len(files.read()) > 0
    assert [files.card.name for files in models] == sorted(files.card.name for files in models)
