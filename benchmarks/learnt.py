"""How much better pictures are segmented by a network that was trained on them than by one that never saw them.

    python benchmarks/learnt.py DATA.zip TABLE.csv RUN --config configs/flagship.toml [--every N]

RUN is the folder that `nucleate crossval` left. Each picture is segmented as a user gets it by the network of its own
fold, which never saw its field of view, and by that of the next fold, which was trained on it. A large gain says that
the network learns pictures by heart, none that it could learn more of those it has.
"""

from __future__ import annotations

from looks import score, study_parser

from nucleate.report.tables import markdown_table
from nucleate.study.crossfold import load_fold, read_endings
from nucleate.study.crossfold_plan import CrossPlan
from nucleate.study.gains import gain_of
from nucleate.train.config import load_config
from nucleate.train.device import choose_device, describe


def main() -> None:
    """Score every picture twice and print a table by type, with paired differences."""
    given = study_parser(__doc__).parse_args()
    choose_device("cpu", 1)
    plan = CrossPlan(given.data, given.run, given.table, config=load_config(given.config))
    samples = plan.pictures()[:: given.every]
    endings = read_endings(given.run)
    folds = sorted({s.fold for s in samples if s.fold is not None})
    networks = [load_fold(plan, f"fold-{fold}", ending=endings[f"fold-{fold}"]) for fold in folds]
    unseen: dict[str, float] = {}
    seen: dict[str, float] = {}
    for place, fold in enumerate(folds):
        some = [s for s in samples if s.fold == fold]
        unseen |= score(networks[place], some)
        seen |= score(networks[(place + 1) % len(folds)], some)
    rows = []
    kinds = sorted({s.kind for s in samples})
    for name, some in {"**all**": samples, **{kind: [s for s in samples if s.kind == kind] for kind in kinds}}.items():
        held, known = ({s.image_id: scores[s.image_id] for s in some} for scores in (unseen, seen))
        gain, low, high = gain_of(known, held, groups={s.image_id: s.group for s in some})
        means = (f"{sum(scores.values()) / len(some):.3f}" for scores in (held, known))
        rows.append([name, str(len(some)), *means, f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"])
    print("\n".join(markdown_table(["", "images", "never seen", "trained on", "gain [95 %]"], rows)))
    print(f"\n{describe('cpu')}.")


if __name__ == "__main__":
    main()
