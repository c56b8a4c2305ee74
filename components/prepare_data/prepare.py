"""From ingested rows to the images contract: duplicates out, splits made, images in shards."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from graftwork.artifacts import images, ingested
from graftwork.components.prepare_data.catalog import Catalog
from graftwork.components.prepare_data.splits import split_of
from graftwork.config import PrepareConfig
from graftwork.errors import UserError
from graftwork.reporting import progress
from graftwork.reporting.metering import Meter, Profile, merged


def prepare(
    ingested_paths: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str], config: PrepareConfig
) -> images.Images:
    """Split and store labelled images that have been read.

    Args:
        ingested_paths: The ingested artifacts of all shards of a source; how many shards makes no difference.
        path: The images artifact to write.
        config: Shares of the splits, how many images may be unusable.

    Raises:
        UserError: Too many images are unusable, a class is missing from a split, or a shard is missing.
    """
    meter = Meter()
    shards = ingested.read_all(ingested_paths)
    data = shards[0].source
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".prepare-", dir=target.parent) as scratch,
        closing(Catalog(Path(scratch), shards)) as catalog,
    ):
        for file, row in meter.fed(ingested.in_order(shards)):
            if row.reason:
                catalog.reject(row.source, row.reason)
            else:
                catalog.add(file, row, row.split or split_of(row.key, row.group, config))
        _require_few_rejected(data, catalog, config.max_rejected)
        counts = catalog.counts()
        classes = _in_order({label for _, label in counts})
        _require_every_class_in_every_split(data, counts, classes)
        sizes = {split: sum(counts.get((split, name), 0) for name in classes) for split in images.SPLITS}
        written = images.write(
            target,
            classes=classes,
            records={split: _counted(catalog.records(split, classes), meter) for split in images.SPLITS},
            sizes=sizes,
            rejected=catalog.rejected(),
            duplicates=catalog.duplicates,
            source=data,
            source_fingerprint=shards[0].fingerprint,
            split_policy={
                "by": "the source's split column, else hash of the group, else hash of the content",
                "validation_fraction": config.validation_fraction,
                "test_fraction": config.test_fraction,
            },
            stored_size=shards[0].stored_size,
            shape=catalog.shape(),
            profile=lambda: _profile(shards, meter),
        )
    shares = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    progress.note(f"{sum(sizes.values()):,} images of {len(classes)} classes: {shares}")
    if written.rejected or written.duplicates:
        progress.note(f"left out: {written.duplicates:,} duplicates, {written.rejected:,} rejected (see rejected.csv)")
    return written


def _counted(records: Iterator[images.Record], meter: Meter) -> Iterator[images.Record]:
    for record in meter.fed(records):
        meter.images += 1
        yield record


def _profile(shards: Sequence[ingested.Ingested], meter: Meter) -> dict[str, Profile]:
    reading = [shard.profile for shard in shards if shard.profile]
    return ({"ingest_images": merged(reading)} if reading else {}) | {"prepare_data": meter.profile()}


def _require_few_rejected(data: str, catalog: Catalog, limit: float) -> None:
    rejected = catalog.count_rejected()
    if rejected <= limit * catalog.rows and rejected < catalog.rows:
        return
    examples = {
        f"rejected {n}": f"{name}: {why}" for n, (name, why) in enumerate(islice(catalog.rejected(), 5), start=1)
    }
    raise UserError(
        f"{rejected:,} of {catalog.rows:,} images cannot be used",
        {"data": data, "share": f"{rejected / catalog.rows:.1%}, at most {limit:.1%} may be", **examples},
        next="mend or remove them, or allow more: --set prepare.max_rejected=0.2",
    )


def _require_every_class_in_every_split(data: str, counts: dict[tuple[str, str], int], classes: list[str]) -> None:
    if len(classes) < 2:
        facts = {"data": data, "classes": ", ".join(classes), "expected": "at least two"}
        raise UserError("the data has only one class", facts)
    lacking = {}
    for name in classes:
        missing = [split for split in images.SPLITS if not counts.get((split, name))]
        if missing:
            total = sum(counts.get((split, name), 0) for split in images.SPLITS)
            lacking[name] = f"{total} image{'s' if total > 1 else ''}, none in {' and '.join(missing)}"
    if lacking:
        shown = dict(islice(lacking.items(), 10))
        if len(lacking) > len(shown):
            shown["..."] = f"and {len(lacking) - len(shown)} more classes"
        problem = f"{len(lacking)} of {len(classes)} classes {'is' if len(lacking) == 1 else 'are'} not in every split"
        raise UserError(
            problem,
            {"data": data, **shown},
            next=[
                "add images of it, 30 or more make every split likely; or remove the class",
                "or enlarge the splits: --set prepare.test_fraction=0.2 --set prepare.validation_fraction=0.2",
                "or say which image goes where: a table with a column split",
            ],
        )


def _in_order(names: Iterable[str]) -> list[str]:
    """Return class names sorted, numbers by their value."""
    return sorted(names, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
