"""Retraining through the command line, night after night, on real files and a real small model."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import tensorflow as tf
from PIL import Image

from graftwork.registry.registry import Author, Registry

from commands import graftwork, steps_run
from fake_buckets import fake_buckets
from images_on_disk import write_photos

pytestmark = pytest.mark.slow

QUICK = {"head.kind": "linear", "fine_tune.epochs": 1, "fine_tune.layers": 1}


class Nights:
    """One model, retrained again and again."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.photos, self.base, self.folder = folder / "photos", base, folder
        self.registry = Registry(str(folder / "models"), "squares")

    def night(self, code: int = 0, **settings: Any) -> str:
        """Run the command and return what it printed."""
        chosen = {**QUICK, **{key.replace("__", "."): value for key, value in settings.items()}}
        done = graftwork(
            "retrain",
            *("--data", "photos", "--base-model", self.base, "--output", "output"),
            *("--registry", "models", "--name", "squares"),
            *(text for key, value in chosen.items() for text in ("--set", f"{key}={value}")),
            cwd=self.folder,  # a copy of the folder is the same data then
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @property
    def champion(self) -> int | None:
        return self.registry.state().champion

    def copied(self, folder: Path) -> "Nights":
        """Return the same state in another folder; the cache points to what is here."""
        shutil.copytree(self.folder, folder, copy_function=shutil.copy2)
        return Nights(folder, self.base)


@pytest.fixture(scope="module")
def after_one(base_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """The state after the first night, in which the first champion was found."""
    nights = Nights(tmp_path_factory.mktemp("nights"), base_file)
    write_photos(nights.photos, count=300)
    printed = nights.night()
    assert "squares: promoted; version 1 serves" in printed
    assert "the first version of this model" in printed
    return nights


@pytest.fixture
def nights(after_one: Nights, tmp_path: Path) -> Nights:
    return after_one.copied(tmp_path / "copy")


def rules(nights: Nights) -> dict[str, bool]:
    """Return which rules of the last verdict hold."""
    last = nights.registry.state().history[-1]
    verdict = json.loads((Path(last.report) / "verdict.json").read_text())
    return {rule["rule"]: rule["passed"] for rule in verdict["rules"]}


def decided(file: Path) -> dict[str, Any]:
    """Return what a registry.json says but for who has looked for news."""
    return {key: value for key, value in json.loads(file.read_text()).items() if key not in ("looks", "writing")}


def test_the_first_model_serves_raw_files_and_says_what_it_was_trained_on(after_one: Nights) -> None:
    from graftwork.artifacts import model

    folder = Path(after_one.registry.folder(1))
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    photo = next(after_one.photos.rglob("*.png"))
    assert served(image_bytes=tf.constant([photo.read_bytes()]))["probabilities"].shape == (1, 3)
    record = model.read(folder).trained_on
    assert record is not None
    assert len(record.seen) > 200
    version = after_one.registry.state().versions[1]
    assert version.verdict is not None
    assert version.verdict["promote"]
    assert version.metrics["n"] > 10


def test_a_night_without_news_does_nothing_after_the_fingerprint(nights: Nights) -> None:
    printed = nights.night()
    assert "nothing has changed; version 1 serves" in printed
    assert steps_run(nights.folder / "output") == {"fingerprint_source", "find_champion", "report_outcome"}
    assert len(nights.registry.state().history) == 2
    assert [look.news for look in nights.registry.state().looks] == [True, False]


def test_new_images_bring_a_challenger_from_both_networks_and_a_verdict(nights: Nights) -> None:
    write_photos(nights.photos, count=30, seed=99)  # and at another size the base is not the champion's network
    printed = nights.night(input_size=32)
    last = nights.registry.state().history[-1]
    assert last.action in ("keep", "promote")
    assert nights.champion == (1 if last.action == "keep" else 2)
    assert {"data", "export", "classes", "unseen test images", "no class falls", "better"} <= set(rules(nights))
    assert "are new to the champion" in printed
    *_, evaluated = sorted(
        (nights.folder / "output").glob(".pipeline/retraining-*/evaluate/evaluation/evaluation.json")
    )
    assert set(json.loads(evaluated.read_text())["candidates"]) == {
        "head",
        "head-champion",
        "fine-tuned",
        "fine-tuned-champion",
    }
    nights.night(input_size=32)  # kept or promoted, the same again is no news
    assert nights.registry.state().history[-1] == last


def test_the_champion_is_asked_about_images_as_large_as_servers_ask_it(nights: Nights) -> None:
    for photo in nights.photos.rglob("*.png"):
        Image.open(photo).resize((64, 64)).save(photo)
    nights.night(input_size=16, retraining__warm_start="base", drift__action="warn")
    *_, prepared = sorted((nights.folder / "output").glob(".pipeline/retraining-*/prepare-data/images/dataset.json"))
    assert json.loads(prepared.read_text())["image_policy"] == {"stored_size": 28}  # for 16 pixels it would be 18
    assert rules(nights)["unseen test images"]


def test_a_renamed_class_does_not_get_in_unnoticed(nights: Nights) -> None:
    (nights.photos / "red").rename(nights.photos / "crimson")
    printed = nights.night(retraining__warm_start="base")
    assert nights.champion == 1
    assert not rules(nights)["classes"]
    assert "new: crimson; gone: red" in printed
    nights.night(retraining__warm_start="base", gate__allow_new_classes=True)
    assert not rules(nights)["classes"]
    nights.night(retraining__warm_start="base", gate__allow_new_classes=True, gate__allow_gone_classes=True)
    assert rules(nights)["classes"]


def test_test_images_that_the_champion_was_trained_on_are_refused(nights: Nights) -> None:
    printed = nights.night(prepare__test_fraction=0.3, retraining__warm_start="base")
    assert nights.champion == 1
    assert not rules(nights)["unseen test images"]
    assert "the champion has been trained on" in printed


def test_drift_holds_until_somebody_lets_it_pass(nights: Nights) -> None:
    for photo in sorted(nights.photos.rglob("*.png"))[::2]:
        Image.eval(Image.open(photo), lambda value: value // 3).save(photo)
    printed = nights.night(drift__action="hold")
    assert nights.registry.state().history[-1].action == "keep"
    assert "drift in brightness" in nights.registry.state().history[-1].why
    report = Path(nights.registry.state().history[-1].report)
    assert "Keep the champion" in (report / "verdict.html").read_text()
    assert "The data has drifted" in (report / "drift.html").read_text()
    assert f"drift   {report}/drift.html" in printed
    assert "nothing has changed" in nights.night(drift__action="hold")
    nights.night(drift__action="warn")
    assert rules(nights)["data"]


@pytest.mark.parametrize(
    ("trouble", "settings", "message"),
    [
        ("empty", {}, "the data has no images"),
        ("a third gone", {"drift.action": "stop"}, "the data has drifted"),
        ("nonsense", {}, "the registry cannot be read"),
        ("newer", {}, "made by another version of graftwork"),
        ("champion gone", {}, "the folder of version 1, the champion, is gone"),
    ],
)
def test_in_trouble_the_champion_serves_on(
    trouble: str, settings: dict[str, Any], message: str, nights: Nights, tmp_path: Path
) -> None:
    file = Path(nights.registry.uri) / "registry.json"
    if trouble == "empty":
        for photo in nights.photos.rglob("*.png"):
            photo.unlink()
    elif trouble == "a third gone":
        for photo in sorted(nights.photos.rglob("*.png"))[::3]:
            photo.unlink()
    elif trouble == "nonsense":
        file.write_text(file.read_text().replace('"champion": 1', '"champion": 7'))
    elif trouble == "newer":
        file.write_text(file.read_text().replace("registry/1", "registry/2"))
    else:
        shutil.rmtree(Path(nights.registry.uri) / "1")
    before = decided(file)
    outcome = tmp_path / "outcome.json"
    printed = nights.night(code=2, **{**settings, "retraining.notify": outcome})
    assert message in printed
    assert decided(file) == before
    reported = json.loads(outcome.read_text())
    assert reported["outcome"] == "failed"
    assert message in reported["why"]
    assert reported["model"] == "squares"


def test_the_outcome_goes_to_a_webhook(nights: Nights, webhook: "Webhook") -> None:
    nights.night(retraining__notify=webhook.url)
    (outcome,) = webhook.received
    assert outcome["outcome"] == "unchanged"
    assert outcome["champion"] == 1
    assert re.fullmatch(r"\d{4}(-\d\d){5}-[0-9a-f]{8}", outcome["run"])


def test_a_clock_that_goes_backwards_changes_nothing(nights: Nights) -> None:
    steps = nights.folder / "output/.pipeline"
    (latest,) = steps.glob("retraining-*")
    shutil.copytree(latest, steps / "retraining-2099-12-31-23-59-59-000000")
    assert "nothing has changed; version 1 serves" in nights.night()


def test_what_is_printed_is_how_this_run_has_ended(nights: Nights, webhook: "Webhook") -> None:
    webhook.then = lambda: nights.registry.keep(1, Author("another run", "no better"))
    assert "nothing has changed; version 1 serves" in nights.night(retraining__notify=webhook.url)
    assert nights.registry.state().history[-1].by == "another run"


def test_everything_may_lie_in_a_bucket(base_file: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", count=150, size=24)
    given = ["--data", "gs://shelf/photos", "--base-model", "gs://shelf/base.keras", "--registry", "gs://shelf/models"]
    given += ["--name", "squares", *(text for key, value in QUICK.items() for text in ("--set", f"{key}={value}"))]
    with fake_buckets() as server:
        server.put("shelf", "base.keras", {}, base_file.read_bytes())
        for photo in photos.rglob("*.png"):
            server.put("shelf", f"photos/{photo.relative_to(photos).as_posix()}", {}, photo.read_bytes())
        for expected in ("promoted", "unchanged"):
            done = graftwork("retrain", *given, "--set", "retraining.notify=gs://shelf/last.json", cwd=tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert json.loads(server.objects["shelf", "last.json"][1])["outcome"] == expected
        assert "models/squares/1/saved_model.pb" in server.names()
        (report,) = {event.report for event in Registry("gs://shelf/models", "squares").state().history}
        assert f"{report.removeprefix('gs://shelf/')}/verdict.html" in server.names()
        labels = tmp_path / "labels.parquet"
        done = graftwork("predict", "gs://shelf/models/squares", "--data", "gs://shelf/photos", "--output", labels)
        assert done.stdout == f"{labels}  150 images labelled, 0 could not be read\n"


def test_what_a_person_took_back_does_not_come_again_by_itself(nights: Nights) -> None:
    two = nights.registry.register(Path(nights.registry.folder(1)), {}, Author("ann"))
    nights.registry.promote(two, 1, Author("ann"))
    nights.registry.rollback(Author("ann"))
    assert "nothing has changed; version 1 serves" in nights.night()


@dataclass
class Webhook:
    """A server that takes JSON, after it has refused once; what it got, and what it does then."""

    url: str
    received: list[Any] = field(default_factory=list)
    then: Callable[[], Any] = lambda: None


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    refused: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not refused:
                refused.append(503)
                self.send_response(503)
            else:
                hook.received.append(json.loads(body))
                hook.then()
                self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/hook")
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield hook
    server.shutdown()
    server.server_close()
