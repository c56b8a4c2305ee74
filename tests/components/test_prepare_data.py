"""From labelled images, as users have them, to checked, split and sharded ones."""

import csv
import io
import itertools
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kfp import dsl
from PIL import Image

from graftwork.artifacts import images
from graftwork.components.fingerprint_source.fingerprint import fingerprint_data, fingerprint_model
from graftwork.components.ingest_images.ingest import ingest
from graftwork.components.prepare_data.prepare import prepare
from graftwork.components.prepare_data.splits import split_of
from graftwork.components.prepare_data.step import run as run_prepare_data
from graftwork.config import PrepareConfig
from graftwork.data import imaging
from graftwork.data.shards import WHOLE, Shard
from graftwork.errors import UserError

from images_on_disk import prepare_source, write_photos

LENIENT = PrepareConfig(max_rejected=0.5)


def prepared(data: Path, path: Path, config: PrepareConfig = LENIENT, **how: int) -> images.Images:
    return prepare_source(str(data), path, config, **how)


def split_of_each_image(artifact: images.Images) -> dict[str, str]:
    return {record.key: split for split in images.SPLITS for record in artifact.records(split)}


def rejections(artifact: images.Images) -> dict[str, str]:
    with (artifact.path / images.REJECTED).open(encoding="utf-8") as file:
        return {Path(row["source"]).name: row["reason"] for row in csv.DictReader(file)}


def content(artifact: Path) -> dict[str, Any]:
    """Return what each file holds; how long it took to make apart."""
    files: dict[str, Any] = {file.name: file.read_bytes() for file in artifact.iterdir()}
    files[images.DESCRIPTION] = json.loads(files[images.DESCRIPTION])
    del files[images.DESCRIPTION]["profile"]
    return files


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


class TestSources:
    def test_a_folder_per_class(self, photos: Path, tmp_path: Path) -> None:
        artifact = prepared(photos, tmp_path / "out")
        assert artifact.classes == ["blue", "green", "red"]
        assert sum(artifact.size(split) for split in images.SPLITS) == 240
        for split in images.SPLITS:
            for record in artifact.records(split):
                assert Path(record.source).parent.name == artifact.classes[record.label]
                assert Path(record.source).read_bytes() == record.encoded

    @pytest.mark.parametrize("data", ["photos", "photos/", "./photos", "../here/photos", "photos/."])
    def test_a_folder_however_it_is_written(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
    ) -> None:
        (tmp_path / "here").mkdir()
        photos.rename(tmp_path / "here" / "photos")
        monkeypatch.chdir(tmp_path / "here")
        artifact = prepare_source(data, tmp_path / "out", LENIENT)
        assert artifact.classes == ["blue", "green", "red"]
        assert artifact.rejected == 0

    def test_the_current_folder(self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(photos)
        assert prepare_source(".", tmp_path / "out", LENIENT).classes == ["blue", "green", "red"]

    @pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "parquet with bytes", "parquet with structs"])
    def test_a_table_means_the_same(self, photos: Path, tmp_path: Path, kind: str) -> None:
        files = sorted(photos.rglob("*.png"))
        frame = pd.DataFrame(
            {
                "image": [str(file.relative_to(tmp_path)) for file in files],
                "label": [file.parent.name for file in files],
            }
        )
        if kind == "parquet with bytes":
            frame["image"] = [file.read_bytes() for file in files]
        elif kind == "parquet with structs":
            frame["image"] = [{"bytes": file.read_bytes(), "path": None} for file in files]
        table = tmp_path / f"table.{kind.split()[0]}"
        if kind == "csv":
            frame.to_csv(table, index=False)
        elif kind == "jsonl":
            frame.to_json(table, orient="records", lines=True)
        else:
            frame.to_parquet(table)
        assert prepared(table, tmp_path / "b").fingerprint == prepared(photos, tmp_path / "a").fingerprint

    def test_a_split_column_is_obeyed_and_its_gaps_are_filled_by_hash(self, photos: Path, tmp_path: Path) -> None:
        files = sorted(photos.rglob("*.png"))
        wanted = [("val", "test", "train", None)[number % 4] for number in range(len(files))]
        table = tmp_path / "table.csv"
        pd.DataFrame({"image": files, "label": [f.parent.name for f in files], "split": wanted}).to_csv(table)
        artifact = prepared(table, tmp_path / "out")
        found = {r.source: split for split in images.SPLITS for r in artifact.records(split)}
        names = {"val": "validation", "test": "test", "train": "train"}
        assert all(found[str(file)] == names[split] for file, split in zip(files, wanted, strict=True) if split)
        assert len(found) == len(files)

    def test_integer_labels_stay_integers(self, photos: Path, tmp_path: Path) -> None:
        files = sorted(photos.rglob("*.png"))
        labels: list[float | None] = [float(number % 2 + 9) for number in range(len(files))]
        labels[7] = None  # which makes pandas read the column as floats
        for table in (tmp_path / "t.csv", tmp_path / "t.jsonl", tmp_path / "t.parquet"):
            frame = pd.DataFrame({"image": [str(file) for file in files], "label": labels})
            if table.suffix == ".csv":
                frame.astype({"label": "Int64"}).to_csv(table, index=False)
            elif table.suffix == ".jsonl":
                frame.to_json(table, orient="records", lines=True)
            else:
                frame.to_parquet(table)
            artifact = prepared(table, tmp_path / table.suffix[1:])
            assert artifact.classes == ["9", "10"]
            assert list(rejections(artifact).values()) == ["no label"]

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_a_class_may_be_called_na_or_null(self, photos: Path, tmp_path: Path, suffix: str) -> None:
        files = sorted(photos.rglob("*.png"))
        names = {"red": "NA", "green": "null", "blue": "1.0"}
        frame = pd.DataFrame({"image": [str(file) for file in files], "label": [names[f.parent.name] for f in files]})
        table = tmp_path / f"table.{suffix}"
        if suffix == "csv":
            frame.to_csv(table, index=False)
        elif suffix == "jsonl":
            frame.to_json(table, orient="records", lines=True)
        else:
            frame.to_parquet(table)
        assert prepared(table, tmp_path / "out").classes == ["1.0", "NA", "null"]

    def test_a_missing_column_names_those_that_are_there(self, tmp_path: Path) -> None:
        pd.DataFrame({"image": ["a.png"], "klass": ["x"]}).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UserError, match=r"no column label[\s\S]*image, klass"):
            prepared(tmp_path / "t.csv", tmp_path / "out")

    def test_a_label_column_without_labels(self, tmp_path: Path) -> None:
        pd.DataFrame({"image": ["a.png", "b.png"], "label": [None, None]}).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UserError, match="the table's column label is empty"):
            prepared(tmp_path / "t.csv", tmp_path / "out")

    def test_an_unknown_split_names_its_row(self, photos: Path, tmp_path: Path) -> None:
        rows = {"image": ["a.png", "b.png"], "label": ["x", "y"], "split": ["train", "holdout"]}
        pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(UserError, match=r"unknown split 'holdout'[\s\S]*row 2"):
            prepared(tmp_path / "t.csv", tmp_path / "out")

    @pytest.mark.parametrize("name", ["nothing", "nothing.csv"])
    def test_data_that_does_not_exist(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(UserError, match=f"the data does not exist[\\s\\S]*{name}"):
            prepared(tmp_path / name, tmp_path / "out")

    def test_a_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "photos" / "cats").mkdir(parents=True)
        (tmp_path / "photos" / "readme.txt").write_text("no class")
        with pytest.raises(UserError, match="the data has no images"):
            prepared(tmp_path / "photos", tmp_path / "out")

    def test_a_table_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "t.parquet").write_bytes(b"not parquet at all")
        with pytest.raises(UserError, match="the table cannot be read"):
            prepared(tmp_path / "t.parquet", tmp_path / "out")


class TestSplits:
    def test_adding_images_moves_none(self, photos: Path, tmp_path: Path) -> None:
        before = split_of_each_image(prepared(photos, tmp_path / "a"))
        write_photos(photos, count=200, seed=12)
        after = split_of_each_image(prepared(photos, tmp_path / "b"))
        assert len(after) == len(before) + 200
        assert all(after[key] == split for key, split in before.items())

    def test_groups_never_straddle_two_splits(self, photos: Path, tmp_path: Path) -> None:
        files = sorted(photos.rglob("*.png"))
        groups = [f"patient {number // 3}" for number in range(len(files))]
        table = tmp_path / "table.csv"
        pd.DataFrame({"image": files, "label": [f.parent.name for f in files], "group": groups}).to_csv(table)
        artifact = prepared(table, tmp_path / "out")
        group_of = dict(zip(map(str, files), groups, strict=True))
        found = {(group_of[r.source], split) for split in images.SPLITS for r in artifact.records(split)}
        assert len(found) == len(set(groups))

    @given(key=st.binary(min_size=32, max_size=32), validation=st.floats(0.01, 0.4), test=st.floats(0.01, 0.4))
    def test_enlarging_a_split_takes_no_image_out_of_test(self, key: bytes, validation: float, test: float) -> None:
        small = PrepareConfig(validation_fraction=validation, test_fraction=test)
        large = PrepareConfig(validation_fraction=validation, test_fraction=test * 1.2)
        if split_of(key.hex(), None, small) == "test":
            assert split_of(key.hex(), None, large) == "test"

    def test_shares_are_as_asked(self) -> None:
        random = np.random.default_rng(0)
        config = PrepareConfig(validation_fraction=0.2, test_fraction=0.1)
        found = Counter(split_of(random.bytes(32).hex(), None, config) for _ in range(20_000))
        assert found["test"] / 20_000 == pytest.approx(0.1, abs=0.01)
        assert found["validation"] / 20_000 == pytest.approx(0.2, abs=0.01)

    def test_a_class_missing_from_a_split_is_named_with_its_count(self, photos: Path, tmp_path: Path) -> None:
        (photos / "rare").mkdir()
        Image.new("RGB", (9, 9), (1, 2, 3)).save(photos / "rare" / "one.png")
        with pytest.raises(UserError, match=r"1 of 4 classes is not in every split[\s\S]*rare +1 image, none in"):
            prepared(photos, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_one_class_is_not_enough(self, photos: Path, tmp_path: Path) -> None:
        shutil.rmtree(photos / "red")
        shutil.rmtree(photos / "green")
        with pytest.raises(UserError, match="only one class"):
            prepared(photos, tmp_path / "out")


class TestWhatIsLeftOut:
    def test_duplicates_are_kept_once(self, photos: Path, tmp_path: Path) -> None:
        before = prepared(photos, tmp_path / "a")
        for number, file in enumerate(sorted((photos / "red").iterdir())[:5]):
            shutil.copy(file, photos / "red" / f"copy-{number}.png")
        after = prepared(photos, tmp_path / "b")
        assert after.duplicates == 5
        assert after.fingerprint == before.fingerprint
        assert not rejections(after)

    def test_the_same_bytes_under_two_labels_are_a_conflict(self, photos: Path, tmp_path: Path) -> None:
        one = min((photos / "red").iterdir())
        shutil.copy(one, photos / "blue" / "other.png")
        shutil.copy(one, photos / "green" / "third.png")
        artifact = prepared(photos, tmp_path / "out")
        assert sum(artifact.size(split) for split in images.SPLITS) == 239
        found = rejections(artifact)
        assert set(found) == {one.name, "other.png", "third.png"}
        assert "'red'" in found[one.name]
        assert all(reason.startswith("conflict: ") for reason in found.values())

    def test_what_cannot_be_decoded_is_listed_with_its_reason(self, photos: Path, tmp_path: Path) -> None:
        red = photos / "red"
        (red / "text.png").write_text("not an image")
        (red / "empty.jpg").touch()
        whole = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, "JPEG")
        (red / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        Image.new("RGB", (9, 9)).save(red / "picture.tiff")
        Image.new("1", (12_000, 12_000)).save(red / "bomb.png")
        (red / ".DS_Store").write_text("hidden files are no images")
        artifact = prepared(photos, tmp_path / "out")
        found = rejections(artifact)
        assert found["text.png"] == "not an image"
        assert found["empty.jpg"] == "an empty file"
        assert found["cut.jpg"].startswith("cannot be decoded: ")
        assert found["picture.tiff"].startswith("TIFF images are not supported")
        assert found["bomb.png"].startswith("more than 134,217,728 pixels")
        assert len(found) == artifact.rejected == 5

    def test_a_table_may_name_files_that_are_not_there(self, photos: Path, tmp_path: Path) -> None:
        files = [*sorted(photos.rglob("*.png")), photos / "red" / "gone.png"]
        table = tmp_path / "table.csv"
        pd.DataFrame({"image": files, "label": [file.parent.name for file in files]}).to_csv(table)
        assert rejections(prepared(table, tmp_path / "out")) == {"gone.png": "not found"}

    def test_too_many_stop_the_run_and_leave_nothing(self, photos: Path, tmp_path: Path) -> None:
        for number in range(20):
            (photos / "red" / f"{number}.png").write_text("not an image")
        expected = r"20 of 260 images cannot be used[\s\S]*7\.7%, at most 5\.0%[\s\S]*not an image[\s\S]*max_rejected"
        with pytest.raises(UserError, match=expected):
            prepared(photos, tmp_path / "run" / "out", PrepareConfig())
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["out-shard-1"]

    def test_a_side_file_is_rejected_not_fatal(self, photos: Path, tmp_path: Path) -> None:
        (photos / "red" / "notes.txt").write_text("taken in May")
        assert rejections(prepared(photos, tmp_path / "out", PrepareConfig())) == {"notes.txt": "not an image"}


class TestStorage:
    def test_large_images_are_shrunk_without_loss_and_small_ones_keep_their_bytes(self, tmp_path: Path) -> None:
        photos = write_photos(tmp_path / "photos", size=64, suffix="jpg")
        small = write_photos(photos, seed=12, size=20)
        artifact = prepared(small, tmp_path / "out", stored_size=28)
        shrunk = 0
        for record in artifact.records("validation"):
            original = Path(record.source).read_bytes()
            if record.source.endswith(".png"):
                assert record.encoded == original
            else:
                shrunk += 1
                expected = imaging.decode_shrunk(original, 28)
                assert min(expected.shape[:2]) == 28
                np.testing.assert_array_equal(imaging.decode(record.encoded), expected)
        assert shrunk > 5

    def test_by_default_images_are_stored_a_little_larger_than_the_input(self, photos: Path, tmp_path: Path) -> None:
        assert prepared(photos, tmp_path / "out", input_size=100).stored_size == 115

    def test_they_are_not_stored_smaller_than_another_model_sees_them(self, photos: Path, tmp_path: Path) -> None:
        for asked, expected in ((0, 28), (30, 30), (10, 28)):
            part = ingest(str(photos), "f", WHOLE, 10, tmp_path / str(asked), stored_size=asked, at_least=28)
            assert part.stored_size == expected

    @pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
    def test_every_supported_format_is_read(self, tmp_path: Path, suffix: str) -> None:
        photos = write_photos(tmp_path / "photos", count=240, suffix=suffix)
        artifact = prepared(photos, tmp_path / "out", PrepareConfig())
        assert artifact.rejected == 0

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
    def test_other_pixel_kinds_become_rgb_or_are_rejected(self, photos: Path, tmp_path: Path, mode: str) -> None:
        image = Image.new("I;16", (9, 9), 1000) if mode == "I;16" else Image.new("RGB", (9, 9)).convert(mode)
        name = "odd.jpg" if mode == "CMYK" else "odd.png"
        image.save(photos / "red" / name)
        artifact = prepared(photos, tmp_path / "out")
        stored = {Path(r.source).name: r for split in images.SPLITS for r in artifact.records(split)}
        assert (name in stored) != (name in rejections(artifact))
        if name in stored:
            assert imaging.decode(stored[name].encoded).shape == (9, 9, 3)

    def test_the_same_source_gives_the_same_bytes(self, photos: Path, tmp_path: Path) -> None:
        first, second = prepared(photos, tmp_path / "a"), prepared(photos, tmp_path / "b")
        assert first.fingerprint == second.fingerprint
        assert content(first.path) == content(second.path)

    @pytest.mark.parametrize("shards", [2, 3, 300])
    def test_the_number_of_shards_changes_nothing(self, photos: Path, tmp_path: Path, shards: int) -> None:
        first = next((photos / "red").iterdir())
        shutil.copy(first, photos / "red" / "copy.png")  # a duplicate, which another shard sees
        shutil.copy(next((photos / "blue").iterdir()), photos / "green" / "contradiction.png")
        (photos / "green" / "none.png").write_bytes(b"")
        one, many = prepared(photos, tmp_path / "one"), prepared(photos, tmp_path / "many", shards=shards)
        assert (one.duplicates, one.rejected) == (1, 3)
        assert content(one.path) == content(many.path)

    def test_the_order_in_which_shards_arrive_changes_nothing(self, photos: Path, tmp_path: Path) -> None:
        parts = [ingest(str(photos), "f", Shard(number, 3), 24, tmp_path / str(number)).path for number in (1, 2, 3)]
        made = [tmp_path / f"out-{number}" for number in range(6)]
        for order, out in zip(itertools.permutations(parts), made, strict=True):
            prepare(order, out, LENIENT)
        assert all(content(out) == content(made[0]) for out in made)

    def test_the_step_takes_the_only_shard_by_itself(
        self, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = dsl.Dataset(uri=str(ingest(str(photos), "f", WHOLE, 24, tmp_path / "whole").path))
        lists = {"list": ([whole], None), "one": (None, whole)}
        for name, (ingested, alone) in lists.items():
            images_made, metrics = dsl.Dataset(uri=str(tmp_path / name)), dsl.Metrics(uri=str(tmp_path / f"{name}-m"))
            assert run_prepare_data(ingested, images_made, metrics, {}, 4, alone) == ["1/1"]
        assert content(tmp_path / "list") == content(tmp_path / "one")
        with pytest.raises(SystemExit, match="2"):
            run_prepare_data(None, images_made, metrics, {}, 1)
        assert "whole_ingested" in capsys.readouterr().err

    def test_a_missing_shard_or_one_of_another_source_is_found_out(self, photos: Path, tmp_path: Path) -> None:
        parts = [ingest(str(photos), "f", Shard(number, 3), 24, tmp_path / str(number)).path for number in (1, 2, 3)]
        with pytest.raises(UserError, match="shards 1, 3 of 3 are there"):
            prepare([parts[2], parts[0]], tmp_path / "out", LENIENT)
        ingest(str(photos), "changed", Shard(2, 3), 24, tmp_path / "2")
        with pytest.raises(UserError, match="another source"):
            prepare(parts, tmp_path / "out", LENIENT)
        assert not (tmp_path / "out").exists()

    def test_how_the_steps_went_is_written_down(self, photos: Path, tmp_path: Path) -> None:
        profile = prepared(photos, tmp_path / "out", shards=3).profile
        assert set(profile) == {"ingest_images", "prepare_data"}
        for step in profile.values():
            assert step["images"] == 240
            assert step["seconds"] > 0
            assert 0 <= step["waiting_for_input"] <= 1
            assert step["peak_memory_mib"] > 0

    def test_whether_all_images_have_one_shape_is_known(self, photos: Path, tmp_path: Path) -> None:
        assert prepared(photos, tmp_path / "a").shape == (20, 20)
        assert prepared(photos, tmp_path / "b", stored_size=10).shape == (10, 10)
        Image.new("RGB", (20, 19)).save(photos / "red" / "flat.png")
        assert prepared(photos, tmp_path / "c").shape is None
        shutil.copy(photos / "red" / "flat.png", photos / "blue" / "flat.png")  # contradict each other: both left out
        assert prepared(photos, tmp_path / "d").shape == (20, 20)

    @pytest.mark.parametrize(("file", "expected"), [("images.bin", "bytes, expected"), ("rows.jsonl", "is missing")])
    def test_a_damaged_shard_is_found_out(self, photos: Path, tmp_path: Path, file: str, expected: str) -> None:
        part = ingest(str(photos), "f", WHOLE, 24, tmp_path / "part").path
        (part / file).unlink() if "missing" in expected else (part / file).write_bytes(b"cut off")
        with pytest.raises(UserError, match=file) as caught:
            prepare([part], tmp_path / "out", LENIENT)
        assert expected in str(caught.value)

    def test_records_are_in_the_order_of_their_keys_over_several_shards(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(images, "_IMAGES_PER_SHARD", 50)
        artifact = prepared(photos, tmp_path / "out")
        assert len(artifact.files["train"]) == -(-artifact.size("train") // 50)
        keys = [record.key for record in artifact.records("train")]
        assert keys == sorted(keys)
        assert len(keys) == artifact.size("train")
        shuffled = [element["key"].decode() for element in artifact.dataset("train", 3).as_numpy_iterator()]
        assert shuffled != keys
        assert sorted(shuffled) == keys

    @pytest.mark.parametrize(
        ("name", "damage", "expected"),
        [
            ("train-00000-of-00001.tfrecord", lambda file: file.write_bytes(file.read_bytes()[:-9]), "bytes, expected"),
            ("test-00000-of-00001.tfrecord", lambda file: file.unlink(), "the file is missing"),
            ("dataset.json", lambda file: file.unlink(), "the file is missing"),
            ("dataset.json", lambda file: file.write_text("{"), "not JSON"),
            ("dataset.json", lambda file: file.write_text('{"schema": "graftwork.images/99"}'), "images/99"),
            ("dataset.json", lambda file: file.write_text('{"schema": "graftwork.images/1"}'), "entry is missing"),
        ],
    )
    def test_a_damaged_artifact_is_named(
        self, photos: Path, tmp_path: Path, name: str, damage: object, expected: str
    ) -> None:
        artifact = prepared(photos, tmp_path / "out")
        damage(artifact.path / name)  # type: ignore[operator]
        with pytest.raises(UserError, match=f"{name}[\\s\\S]*{expected}"):
            images.read(artifact.path)


class TestFingerprint:
    def test_unchanged_files_give_the_same(self, photos: Path) -> None:
        assert fingerprint_data(str(photos)) == fingerprint_data(str(photos))

    def test_one_more_one_fewer_or_a_changed_file_gives_another(self, photos: Path) -> None:
        found = {fingerprint_data(str(photos))}
        extra = photos / "red" / "extra.png"
        extra.write_bytes(b"1")
        found.add(fingerprint_data(str(photos)))
        extra.write_bytes(b"12")
        found.add(fingerprint_data(str(photos)))
        extra.unlink()
        next((photos / "red").iterdir()).unlink()
        found.add(fingerprint_data(str(photos)))
        assert len(found) == 4

    def test_a_table_follows_its_images(self, photos: Path, tmp_path: Path) -> None:
        files = sorted(photos.rglob("*.png"))
        table = tmp_path / "table.csv"
        pd.DataFrame({"image": files, "label": [file.parent.name for file in files]}).to_csv(table)
        before = fingerprint_data(str(table))
        files[0].write_bytes(files[0].read_bytes() + b" ")
        assert fingerprint_data(str(table)) != before

    def test_models(self, tmp_path: Path) -> None:
        (tmp_path / "a.keras").write_bytes(b"a")
        before = fingerprint_model(str(tmp_path / "a.keras"))
        (tmp_path / "a.keras").write_bytes(b"ab")
        assert fingerprint_model(str(tmp_path / "a.keras")) != before
        assert fingerprint_model("VGG16") != fingerprint_model("VGG19")
        with pytest.raises(UserError, match="base model does not exist"):
            fingerprint_model(str(tmp_path / "b.keras"))

    def test_it_needs_no_tensorflow(self) -> None:
        import subprocess
        import sys

        code = "import sys, graftwork.components.fingerprint_source.fingerprint;sys.exit('tensorflow' in sys.modules)"
        subprocess.run([sys.executable, "-P", "-c", code], check=True)
