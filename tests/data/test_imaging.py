"""The pixels of an image, however its file is decoded and wherever."""

import io

import numpy as np
import pytest
import skimage.data
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graftwork.components.ingest_images.read import fit, read
from graftwork.data import imaging, sources

PHOTOS = {name: getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee")}
TOLERANCE = 2.0
"""Grey levels, on average over an image, between one decoded at a fraction of its size and one decoded in full."""


def encoded(image: Image.Image | np.ndarray, suffix: str = "JPEG", **how: object) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, suffix, **how)
    return file.getvalue()


def decoded_in_full_and_shrunk(file: bytes, shorter_side: int) -> np.ndarray:
    image = imaging.decode(file)
    factor = shorter_side / min(image.shape[:2])
    size = [round(side * factor) for side in image.shape[:2]] if factor < 1 else image.shape[:2]
    return tf.cast(tf.round(tf.image.resize(image, size, antialias=True)), tf.uint8).numpy()


def apart(image: tf.Tensor, other: np.ndarray) -> float:
    assert image.shape == other.shape
    return float(np.abs(np.asarray(image, np.float32) - other).mean())


class TestShrinking:
    @pytest.mark.parametrize("quality", [95, 75, 30])
    @pytest.mark.parametrize("name", list(PHOTOS))
    def test_a_jpeg_file_looks_as_if_decoded_in_full(self, name: str, quality: int) -> None:
        photo = PHOTOS[name]
        for cut in (0, 1, 3, 5):  # sides that no ratio divides
            file = encoded(photo[cut:, : photo.shape[1] - 2 * cut], quality=quality)
            for ratio in (2, 4, 8):
                shorter_side = int((min(photo.shape[:2]) - 2 * cut) / ratio / 1.5)  # as hard as it gets
                full = decoded_in_full_and_shrunk(file, shorter_side)
                assert apart(imaging.decode_shrunk(file, shorter_side), full) < TOLERANCE

    def test_the_smaller_the_less_is_computed(self) -> None:
        # At an eighth, only the mean of each 8 x 8 block counts: another pattern of the same mean changes nothing.
        block = np.kron([[0, 255], [255, 0]], np.ones((4, 4)))
        fine = np.tile(block, (100, 100)).astype(np.uint8)
        small = imaging.decode_shrunk(encoded(Image.fromarray(fine), quality=95), 50).numpy()
        assert small.std() < 1
        assert abs(small.mean() - 127.5) < 2

    @pytest.mark.parametrize("suffix", ["PNG", "GIF", "BMP", "WEBP"])
    @pytest.mark.parametrize("shorter_side", [37, 150, 300, 1000])
    def test_other_formats_are_decoded_in_full(self, suffix: str, shorter_side: int) -> None:
        file = encoded(PHOTOS["chelsea"], suffix)
        shrunk = imaging.decode_shrunk(file, shorter_side)
        np.testing.assert_array_equal(shrunk, decoded_in_full_and_shrunk(file, shorter_side))
        image = tf.io.decode_image(file, channels=3, expand_animations=False)
        np.testing.assert_array_equal(imaging.decode(file), image)

    @pytest.mark.parametrize("kind", ["grey", "progressive", "CMYK"])
    def test_kinds_of_jpeg_files(self, kind: str) -> None:
        photo = Image.fromarray(PHOTOS["coffee"])
        photo = photo.convert({"grey": "L", "CMYK": "CMYK"}.get(kind, "RGB"))
        file = encoded(photo, progressive=kind == "progressive")
        shrunk = imaging.decode_shrunk(file, 60)
        assert apart(shrunk, decoded_in_full_and_shrunk(file, 60)) < TOLERANCE
        assert apart(imaging.decode(file), np.asarray(photo.convert("RGB"))) < 6  # what JPEG itself loses

    def test_a_jpeg_file_has_the_colours_that_pillow_finds(self) -> None:
        file = encoded(PHOTOS["coffee"], quality=95)
        assert apart(imaging.decode(file), np.asarray(Image.open(io.BytesIO(file)))) < 0.1

    @settings(max_examples=40, deadline=None)
    @given(height=st.integers(1, 600), width=st.integers(1, 600), shorter_side=st.integers(1, 80))
    def test_proportions_do_not_depend_on_the_format(self, height: int, width: int, shorter_side: int) -> None:
        image = Image.new("RGB", (width, height))
        jpeg, png = encoded(image), encoded(image, "PNG")
        shape = imaging.decode_shrunk(jpeg, shorter_side).shape
        assert shape == imaging.decode_shrunk(png, shorter_side).shape
        assert min(shape[:2]) == min(height, width, shorter_side)

    def test_nothing_is_moved(self) -> None:
        # 303 columns are 37.875 blocks of 8: counted as 38, the edge would land elsewhere.
        image = np.zeros((303, 303, 3), np.uint8)
        image[:, 200:] = 255
        for file in (encoded(image, quality=95), encoded(image, "PNG")):
            row = imaging.decode_shrunk(file, 20).numpy()[10, :, 0].astype(float)
            assert (255 - row).sum() / 255 == pytest.approx(200 * 20 / 303, abs=0.05)


class TestEverywhereTheSame:
    @pytest.mark.parametrize("suffix", ["JPEG", "PNG"])
    @pytest.mark.parametrize("size", [(24, 24), (300, 200)])
    def test_what_is_stored_shows_the_pixels_of_the_original(self, suffix: str, size: tuple[int, int]) -> None:
        for photo in PHOTOS.values():
            original = encoded(photo, suffix)
            row, stored = fit(read(sources.Row("photo", "a", content=original)), stored_size=110)
            assert (row.height, row.width) == imaging.decode(stored).shape[:2]
            expected = imaging.pixels(stored, size, 110)
            np.testing.assert_array_equal(imaging.pixels(original, size, 110), expected)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def served(files: tf.Tensor) -> tf.Tensor:
                signature = tf.TensorSpec([*size, 3], tf.float32)
                return tf.map_fn(lambda file: imaging.pixels(file, size, 110), files, fn_output_signature=signature)

            np.testing.assert_array_equal(served([original, stored]), tf.stack([expected, expected]))

    @pytest.mark.parametrize("photo", PHOTOS.values(), ids=list(PHOTOS))
    def test_a_cut_off_jpeg_file_is_rejected_at_every_size(self, photo: np.ndarray) -> None:
        file = encoded(photo)
        for stored_size in (10, 40, 90, 1000):
            row, stored = fit(read(sources.Row("photo", "a", content=file[: len(file) // 2])), stored_size)
            assert row.reason == "cannot be decoded: jpeg::Uncompress failed"
            assert stored == b""


class TestResizing:
    @pytest.mark.parametrize("shape", [(28, 28), (96, 96), (50, 200), (200, 50), (300, 400), (1, 1)])
    def test_a_batch_is_its_images(self, shape: tuple[int, int]) -> None:
        images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
        one_by_one = [imaging.resize(tf.constant(image), (96, 80)) for image in images]
        np.testing.assert_array_equal(imaging.resize(tf.constant(images), (96, 80)), tf.stack(one_by_one))

    @pytest.mark.parametrize("shape", [(28, 28), (96, 80), (50, 79), (31, 77), (1, 1)])
    def test_nothing_is_smoothed_where_nothing_shrinks(self, shape: tuple[int, int]) -> None:
        image = tf.constant(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
        smoothed = tf.image.resize(image, (96, 80), antialias=True)
        np.testing.assert_allclose(imaging.resize(image, (96, 80)), smoothed, atol=3e-3)
