"""What `evaluate --protocol neighbours` needs of three public data sets, on stdout.

python -m benchmarks.neighbours implicitave FOLDER > removed.jsonl    # for --truth
python -m benchmarks.neighbours families FOLDER > families.csv        # sportswear, for --group
python -m benchmarks.neighbours liked FOLDER > liked.csv              # films, for --pairs
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from pipelines.evaluation.protocols.implicitave import department_group

# Of a rating, from which a film was liked; of people who must have liked one; of partners of each.
LIKED, MIN_PEOPLE, PARTNERS = 4, 20, 10
# Added to the length of both, so that few likes in common say little.
SHRINKAGE = 10


def implicitave(folder: Path) -> Iterator[str]:
    """Yield the true values under the columns that the benchmark's template reads."""
    domains = {row["id"]: row["domain"] for row in _rows(folder / "catalog.jsonl")}
    for row in _rows(folder / "truth.jsonl"):
        column = f"{department_group(domains[row['id']])}/{row['attribute']}"
        yield json.dumps({"id": row["id"], "hidden": {column: row["value"]}})


def families(folder: Path) -> Iterator[str]:
    """Yield id and family of each variant."""
    yield "sku,family"
    for row in _rows(folder / "truth.jsonl"):
        yield f"{row['sku']},{row['family']}"


def liked(folder: Path) -> Iterator[str]:
    """Yield for each film that enough people liked those that the same people liked most."""
    table = pq.read_table(folder / "interactions.parquet")
    likes = table.filter(np.asarray(table["rating"]) >= LIKED)
    people, films = (
        np.unique(likes[name].to_pylist(), return_inverse=True) for name in ("user_id", "item_id")
    )
    matrix = np.zeros((len(people[0]), len(films[0])), np.float32)
    matrix[people[1], films[1]] = 1
    counts = matrix.sum(axis=0)
    both = matrix.T @ matrix / (np.sqrt(np.outer(counts, counts)) + SHRINKAGE)
    np.fill_diagonal(both, 0)
    yield "item_id,liked_too"
    for film in np.flatnonzero(counts >= MIN_PEOPLE):
        for partner in np.argsort(-both[film], kind="stable")[:PARTNERS]:
            yield f"{films[0][film]},{films[0][partner]}"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    what, where = sys.argv[1:]
    made = {"implicitave": implicitave, "families": families, "liked": liked}[what](Path(where))
    sys.stdout.writelines(f"{line}\n" for line in made)
