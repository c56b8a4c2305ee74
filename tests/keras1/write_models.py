"""Write models as people saved them with Keras 1, with what they answer, into an archive.

    KERAS_BACKEND=tensorflow python write_models.py models.zip
    KERAS_BACKEND=theano python write_models.py models.zip

Python 3.6 with Keras 1.2.2, TensorFlow 1.4.1, Theano 1.0.5, h5py 2.10.0, NumPy 1.16.6, SciPy 1.2.3 and protobuf 3.17.3;
both calls add to the archive, which is to be deleted before.

For each model NAME_BACKEND_ORDERING: the file NAME_BACKEND_ORDERING.h5, and NAME_BACKEND_ORDERING.npz with the arrays
`output0` and so on for the pixels that `pixels` returns, in inference mode. ORDERING is Keras 1's dim_ordering, "th"
(channels first) or "tf".
"""

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

SIZE = (13, 11)
"""Height and width, not the same, so that one taken for the other is found out."""


def pixels():
    """Return the batch that every model answers, (3, height, width, 3) in [0, 1]."""
    return np.random.RandomState(0).uniform(size=(3, *SIZE, 3)).astype(np.float32)


def _input_shape(ordering):
    return (*SIZE, 3) if ordering == "tf" else (3, *SIZE)


def sequential(ordering):
    """A small VGG, as it was written then: padding, convolution, pooling, then dense layers on the flattened maps."""
    from keras import backend, layers
    from keras.models import Sequential
    from keras.regularizers import l2

    channels = -1 if ordering == "tf" else 1
    return Sequential(
        [
            layers.ZeroPadding2D((1, 2), input_shape=_input_shape(ordering)),
            layers.Convolution2D(4, 3, 2, activation="relu", W_regularizer=l2(0.001), name="conv1_1"),
            layers.MaxPooling2D((2, 2), strides=(2, 2)),
            layers.Convolution2D(3, 3, 3, border_mode="same", bias=False),
            layers.BatchNormalization(axis=channels),
            layers.Activation("relu"),
            layers.AveragePooling2D((3, 3), strides=(1, 1), border_mode="same"),
            layers.Flatten(),
            layers.Dropout(0.5),
            # Under TensorFlow, Keras 1 lost the size of what Flatten returns.
            layers.BatchNormalization() if backend.backend() == "theano" else layers.ELU(),
            layers.Dense(5, W_constraint="maxnorm"),
            layers.ELU(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def functional(ordering):
    """A residual network: merges, a layer called twice, frozen layers, a model with a classifier in it, two outputs."""
    from keras import layers
    from keras.models import Model, Sequential

    channels = -1 if ordering == "tf" else 1
    rows_and_columns = [1, 2] if ordering == "tf" else [2, 3]
    image = layers.Input(_input_shape(ordering), name="image")
    stem = layers.Convolution2D(4, 3, 3, subsample=(2, 2), activation="tanh", trainable=False)(image)
    shared = layers.AtrousConvolution2D(4, 3, 3, border_mode="same", atrous_rate=(2, 2))
    norm = layers.BatchNormalization(axis=channels, trainable=False)(shared(stem))
    summed = layers.merge([stem, layers.PReLU(shared_axes=rows_and_columns)(norm)], mode="sum")
    joined = layers.merge([summed, layers.PReLU()(shared(summed))], mode="concat", concat_axis=channels)
    maps = layers.UpSampling2D((1, 2))(layers.GaussianDropout(0.2)(joined))
    top = Sequential(name="top")
    top.add(layers.Convolution2D(2, 1, 1, input_shape=maps._keras_shape[1:]))
    top.add(layers.BatchNormalization(axis=channels))
    top.add(layers.Flatten())
    top.add(layers.PReLU())
    top.add(layers.Dense(2, trainable=False))
    pooled = layers.GlobalAveragePooling2D()(layers.merge([maps, maps], mode="mul"))
    return Model(image, [top(maps), layers.Dense(2, activation="sigmoid")(pooled)], name="two_headed")


def stacked(ordering):
    """A frozen base and a classifier on its flattened maps, put together as Keras's own guide to fine-tuning did."""
    from keras import layers
    from keras.models import Model, Sequential

    image = layers.Input(_input_shape(ordering))
    maps = layers.Convolution2D(2, 3, 3, activation="relu", trainable=False)(image)
    base = Model(image, layers.MaxPooling2D((3, 3))(maps))
    top = Sequential()
    top.add(layers.Flatten(input_shape=base.output_shape[1:]))
    top.add(layers.Dense(3, activation="relu"))
    top.add(layers.Dropout(0.5))
    top.add(layers.Dense(1, activation="sigmoid"))
    return Sequential([base, top])


def decoder(ordering):
    """Layers that only TensorFlow had, and those that make maps larger and smaller."""
    from keras import layers
    from keras.models import Model

    image = layers.Input(_input_shape(ordering))
    maps = layers.SeparableConvolution2D(4, 3, 3, depth_multiplier=2, border_mode="same", activation="elu")(image)
    maps = layers.Cropping2D(((1, 2), (0, 1)))(maps)
    shape = (None, 21, 20, 2) if ordering == "tf" else (None, 2, 21, 20)
    maps = layers.Deconvolution2D(2, 3, 2, output_shape=shape, subsample=(2, 2))(maps)
    maps = layers.ZeroPadding2D((0, 1, 2, 0))(maps)
    return Model(image, layers.MaxPooling2D((3, 3), border_mode="same")(maps))


def _randomise(model):
    """Set weights that leave no layer without effect, short enough as numbers to keep the archive small."""
    from keras import backend

    random = np.random.RandomState(1)
    for variable in model.weights:
        positive = "gamma" in variable.name or "running_std" in variable.name
        shape = backend.get_value(variable).shape
        values = random.uniform(0.2, 1.2, shape) if positive else random.normal(0, 0.4, shape)
        backend.set_value(variable, np.round(values, 1).astype(np.float32))


def write(archive, name, build, ordering):
    """Add one model and its answers to an archive."""
    from keras import backend

    backend.set_image_dim_ordering(ordering)
    model = build(ordering)
    _randomise(model)
    batch = pixels() if ordering == "tf" else pixels().transpose(0, 3, 1, 2)
    outputs = model.predict(batch)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    stem = f"{name}_{backend.backend()}_{ordering}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.h5"
        model.save(str(path))
        archive.write(str(path), stem + ".h5")
    answers = io.BytesIO()
    np.savez(answers, **{f"output{number}": output for number, output in enumerate(outputs)})
    archive.writestr(stem + ".npz", answers.getvalue())


def main():
    from keras import backend

    models = {"sequential": sequential, "functional": functional}
    if backend.backend() == "theano":
        import theano.ifelse  # noqa: F401  Keras takes it for imported
    else:
        models.update({"decoder": decoder, "stacked": stacked})
    with zipfile.ZipFile(sys.argv[1], "a", zipfile.ZIP_LZMA) as archive:
        for ordering in ("tf", "th"):
            for name, build in sorted(models.items()):
                write(archive, name, build, ordering)


if __name__ == "__main__":
    main()
