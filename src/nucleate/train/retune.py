"""The numbers of the steps after a model's network, chosen anew by score on pictures it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nucleate.core.files import atomic_path, make_folder
from nucleate.run.engine import OnnxEngine
from nucleate.run.segmenter import Segmenter
from nucleate.run.weights import check_free, write_card
from nucleate.score.images import score_image
from nucleate.train.crossfit import Ending, EndingFitter, cross_fit
from nucleate.train.finish import card_scores
from nucleate.train.pictures import check_nuclei
from nucleate.train.tuning import Trials, each, no_tick, store_maps
from nucleate.train.verdict import compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from nucleate.data.sample import Sample
    from nucleate.run.weights import ModelCard, ModelFiles
    from nucleate.train.tuning import Tick
    from nucleate.train.verdict import Verdict

__all__ = ["retune", "write_model"]


def retune(
    files: ModelFiles,
    samples: Sequence[Sample],
    *,
    only_joining: bool = False,
    spare: float = 0.0,
    jobs: int = 1,
    tick: Tick = no_tick,
) -> tuple[ModelCard, Verdict]:
    """Choose recipe, confidence and limit of a model by score.

    Parameters
    ----------
    files : ModelFiles
        The model; its own recipe is where the search begins.
    samples : sequence of Sample
        Pictures that the network was not trained on (see `nucleate.train.pictures.part_known`).
    only_joining : bool
        Keep all numbers but for those that join pieces of nuclei, and the card's scores beside the verdict. Joining is
        taken if it beats markers. Those of a card that joins pieces already begin where its pieces begin, at 0.3 or
        lower, since the card does not tell a higher level that they had before. The verdict compares with the card as
        it is.
    spare : float
        Score that the recipe may give up so that it is less bound to these pictures, see
        `nucleate.train.crossfit.EndingFitter`.
    jobs : int
        Threads.
    tick : callable
        Told what is being done, how many are done and of how many.

    Returns
    -------
    card, verdict : ModelCard, Verdict
        The card with the new numbers, and what they are worth: every picture is scored with numbers that were not
        fitted to it. If there is no gain, or more than `spare` is lost, the card is the old one.

    Raises
    ------
    DataError
        If there is no nucleus in the pictures.
    """
    check_nuclei(samples)
    card = files.card
    stored = store_maps(Segmenter(OnnxEngine(files.read(), jobs), card), samples, tick=tick)
    asis = Ending.of_card(card)
    fitter = EndingFitter(
        Trials(card.maps, stored, jobs=jobs, tick=tick),
        card.recipe,
        spare=spare,
        known=asis,
        only_joining=only_joining,
    )
    found = cross_fit(fitter)
    verdict = compare(
        each(lambda one: score_image(one.labels, asis.nuclei(one, names=card.maps)[1]).kaggle, stored, jobs=jobs),
        [score.kaggle for score in found.kept],
        groups=[one.group for one in stored],
        start=card.name,
    )
    if verdict.gain <= -spare:
        return card, verdict
    ending = fitter.fit(range(len(stored)))
    known = card.scores if only_joining else card_scores(found, stored)
    scores = {**known, "verdict": verdict.rounded()}
    return card.model_copy(update={**ending.facts(), "scores": scores}), verdict


def write_model(folder: Path | None, files: ModelFiles, *, card: ModelCard) -> Path:
    """Write a model with another card; give its ``.onnx`` file.

    Parameters
    ----------
    folder : Path or None
        Made if it is not there. If the model lies there already, or when None, only the card is written.
    files : ModelFiles
        The weights.
    card : ModelCard
        Its name is that of the files in `folder`; files of a model that stays in its place keep their names.

    Raises
    ------
    UsageError
        If another model of that name is there, or `folder` is a file.
    ModelError
        If the weights are damaged; `folder` is not made then.
    """
    if folder is None:
        write_card(files.onnx.with_suffix(".toml"), card)
        return files.onnx
    check_free(folder, files.card)
    target = folder / f"{card.name}.onnx"
    kept: dict[Path, bytes | None] = {}
    if target.resolve() != files.onnx.resolve():
        kept = {target: files.read(), target.with_name(files.int8.name): files.read_int8()}
    make_folder(folder)  # once nothing can be refused any more
    for path, content in kept.items():
        if content is not None:
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)
    write_card(target.with_suffix(".toml"), card)
    return target
