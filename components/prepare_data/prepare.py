"""From a source of labelled images to the images contract, in one pass over the source."""

import functools
import os
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from graftwork import imaging, progress, sources, storage
from graftwork.artifacts import images
from graftwork.components.prepare_data.ingest import ingest
from graftwork.components.prepare_data.splits import split_of
from graftwork.components.prepare_data.spool import Spool
from graftwork.config import PrepareConfig
from graftwork.errors import UserError


def prepare(
    data: str, fingerprint: str, input_size: int, path: str | os.PathLike[str], config: PrepareConfig
) -> images.Images:
    """Check, split and shard labelled images.

    Args:
        data: A folder or a table, see `sources`.
        fingerprint: What the source holds, to be noted.
        input_size: Of the network that will see the images, in pixels.
        path: The images artifact to write.
        config: Shares of the splits, how many images may be unusable, the size to store.

    Raises:
        UserError: Too many images are unusable, or a class is missing from a split.
    """
    stored_size = config.stored_size or imaging.stored_size_for(input_size)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=target.parent) as scratch, Spool(Path(scratch)) as spool:
        _collect(data, spool, stored_size, config)
        _require_few_rejected(data, spool, config.max_rejected)
        counts = spool.counts()
        classes = _in_order({label for _, label in counts})
        _require_every_class_in_every_split(data, counts, classes)
        sizes = {split: sum(counts.get((split, name), 0) for name in classes) for split in images.SPLITS}
        written = images.write(
            target,
            classes=classes,
            records={split: spool.records(split, classes) for split in images.SPLITS},
            sizes=sizes,
            rejected=spool.rejected(),
            duplicates=spool.duplicates,
            source=data,
            source_fingerprint=fingerprint,
            split_policy={
                "by": "the source's split column, else hash of the group, else hash of the content",
                "validation_fraction": config.validation_fraction,
                "test_fraction": config.test_fraction,
            },
            stored_size=stored_size,
        )
    shares = ", ".join(f"{size:,} {split}" for split, size in sizes.items())
    progress.note(f"{sum(sizes.values()):,} images of {len(classes)} classes: {shares}")
    if written.rejected or written.duplicates:
        progress.note(f"left out: {written.duplicates:,} duplicates, {written.rejected:,} rejected (see rejected.csv)")
    return written


def _collect(data: str, spool: Spool, stored_size: int, config: PrepareConfig) -> None:
    read = functools.partial(ingest, stored_size=stored_size)
    for image in progress.track(storage.map_in_order(read, sources.rows(data)), None, "images"):
        if image.reason:
            spool.reject(image.row.source, image.reason)
        else:
            spool.add(image, image.row.split or split_of(image.key, image.row.group, config))


def _require_few_rejected(data: str, spool: Spool, limit: float) -> None:
    rejected = spool.count_rejected()
    if rejected <= limit * spool.rows and rejected < spool.rows:
        return
    examples = {f"rejected {n}": f"{name}: {why}" for n, (name, why) in enumerate(islice(spool.rejected(), 5), start=1)}
    raise UserError(
        f"{rejected:,} of {spool.rows:,} images cannot be used",
        {"data": data, "share": f"{rejected / spool.rows:.1%}, at most {limit:.1%} may be", **examples},
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
