"""`graftwork.inspect`: a description that reads as the command prints it."""

import json
from pathlib import Path

import pytest

import graftwork
from graftwork.artifacts import model as model_artifact
from graftwork.errors import UserError

from commands import graftwork as command
from images_on_disk import write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("inspect") / "photos", count=60)


def test_it_prints_as_the_command_does(base_file: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    description = graftwork.inspect(base_file, data=photos, images=30)
    done = command("inspect", base_file, "--data", photos, "--images", 30)
    assert f"{description}\n" == done.stdout
    assert repr(description) == str(description)
    assert "evidence: 30 images, 3 classes" in done.stdout


def test_its_json_is_that_of_the_command(base_file: Path) -> None:
    description = graftwork.inspect(base_file)
    done = command("inspect", base_file, "--json")
    assert description.as_json() == json.loads(done.stdout)
    assert description.evidence is None


def test_a_notebook_shows_the_same_and_no_markup_of_others(classifier: Path, tmp_path: Path) -> None:
    made = model_artifact.read(classifier)
    description = {**made.description, "classes": ["<img src=x onerror=alert(1)>", "a & b", "[red]"]}
    model_artifact.write(tmp_path / "model", made.keras_model(), "classifier", description)
    found = graftwork.inspect(tmp_path / "model")
    shown = found._repr_html_()
    assert "<img" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;, a &amp; b, [red]" in shown
    assert "head for" not in shown
    assert "for 3 classes: <img src=x onerror=alert(1)>, a & b, [red]" in str(found)


def test_a_preprocessing_can_be_given_in_python(base_file: Path) -> None:
    for given in ("rescale-pm1", {"scale": 0.5, "offset": -1.0}, graftwork.config.ScaleOffset(scale=0.5, offset=-1.0)):
        assert graftwork.inspect(base_file, preprocessing=given).preprocessing is not None
    with pytest.raises(UserError, match="expected one of none"):
        graftwork.inspect(base_file, preprocessing="vgg")
    for wrong in ({"scale": "double"}, {"scales": 2.0}, {}):
        with pytest.raises(UserError, match="wrong in the parameter preprocessing"):
            graftwork.inspect(base_file, preprocessing=wrong)
