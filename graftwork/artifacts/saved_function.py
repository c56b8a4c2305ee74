"""A function out of a SavedModel, with its variables, as a layer of Keras.

A SavedModel without layers of Keras in it (of TF-Hub, of `model.export`, of a tf.Module) is a function and its
variables. As a layer it can be part of a Keras model, be trained where its variables can, and be saved inside a
`.keras` file, which then holds the SavedModel among its assets.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

_FOLDER = "saved_model"
_PARTS = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}
"""What TensorFlow writes. Whoever checks a file knows these names, and TensorFlow would read others in their place."""


@keras.saving.register_keras_serializable("graftwork")
class SavedFunction(keras.layers.Layer):
    """Calls a TensorFlow function; its variables are the layer's weights.

    Made by `from_function`, or by Keras from a file, which binds the function after the layer is made.

    Attributes:
        frozen: Why the variables cannot be trained; "" where they can.
    """

    def __init__(
        self,
        output_shape: Sequence[int | None],
        variables: Sequence[Sequence[Any]],
        frozen: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.frozen = frozen
        self._shape, self._specifications = tuple(output_shape), [list(entry) for entry in variables]
        self._module: Any = None
        self._own: list[keras.Variable] = []
        for number, (shape, dtype, trainable) in enumerate(self._specifications):
            variable = self.add_weight(
                shape=shape, dtype=dtype, trainable=trainable and not frozen, initializer="zeros", name=f"{number}"
            )
            self._own.append(variable)
        self.built = True

    @classmethod
    def from_function(
        cls,
        function: Callable[[tf.Tensor], tf.Tensor],
        size: Sequence[int],
        frozen: str,
        name: str,
        source: Any = None,
    ) -> "SavedFunction":
        """Make a layer of a function from float32 (n, *size) to one tensor.

        Args:
            function: Calls functions of a loaded SavedModel, whose variables it uses.
            size: (height, width, channels).
            frozen: Why the variables cannot be trained; "" where they can.
            name: Of the layer.
            source: What `load` returned, if it uses more of that than variables, such as lookup tables.

        Raises:
            ValueError: It uses something else that TensorFlow would not save with it.
        """
        module = tf.Module()
        module.resources = _resources(source)
        module.kept = getattr(source, "kept", None)
        module.call = tf.function(function, input_signature=[tf.TensorSpec([None, *size], tf.float32, name="pixels")])
        traced = module.call.get_concrete_function()
        module.own = list(traced.variables)
        _require_whole(traced, [*(variable.handle for variable in module.own), *_handles(module.resources)])
        specifications = [
            [list(variable.shape), variable.dtype.name, bool(variable.trainable)] for variable in module.own
        ]
        layer = cls(tuple(traced.output_shapes)[1:], specifications, frozen, name=name)
        layer._bind(module)
        return layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Call the function: float32 (n, height, width, channels) to (n, *output_shape)."""
        if self._module is None:
            raise ValueError(f"the layer {self.name} has no function yet: it comes with the .keras file it is saved in")
        return tf.ensure_shape(self._module.call(inputs), (None, *self._shape))

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Return (n, *output_shape), which is known before the function is."""
        return keras.KerasTensor((inputs.shape[0], *self._shape), dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer is made from; function and weights are its assets."""
        own = {"output_shape": self._shape, "variables": self._specifications, "frozen": self.frozen}
        return {**super().get_config(), **own}

    def save_own_variables(self, store: Any) -> None:
        """Save nothing: the SavedModel among the assets has the variables."""

    def load_own_variables(self, store: Any) -> None:
        """Load nothing: the SavedModel among the assets has the variables."""

    def save_assets(self, folder: str) -> None:
        """Save the function with its variables, as a SavedModel."""
        tf.saved_model.save(self._module, str(Path(folder) / _FOLDER))

    def load_assets(self, folder: str) -> None:
        """Take function and variables from where `save_assets` has put them.

        Raises:
            ValueError: There is more in that place than a SavedModel, or another spelling of one.
        """
        path = Path(folder) / _FOLDER
        strange = sorted({entry.name for entry in path.iterdir()} - _PARTS)
        if strange:
            raise ValueError(f"the function of the layer {self.name} comes with files of another kind: {strange}")
        self._bind(load(path))

    def _bind(self, module: Any) -> None:
        self._tracker.unlock()  # TensorFlow tracks the module for an export, which Keras forbids once a layer is built
        self._module = module
        self._tracker.lock()
        for weight, variable in zip(self._own, module.own, strict=True):
            weight._initialize(variable)  # the function reads its own variables: the weights become them


def load(folder: Path) -> Any:
    """Load a SavedModel, whose folder may be gone afterwards.

    Files among its assets, such as the words of a lookup table, are read again when it is saved: the loaded object
    keeps a copy as long as it is there.
    """
    if not any((folder / "assets").glob("*")):
        return tf.saved_model.load(str(folder))
    kept = tempfile.TemporaryDirectory(prefix="graftwork-")
    shutil.copytree(folder, kept.name, dirs_exist_ok=True)
    loaded = tf.saved_model.load(kept.name)
    loaded.kept = kept
    return loaded


def _resources(source: Any) -> list[Any]:
    """Return what functions of a SavedModel may use besides variables: lookup tables, and files that those are from."""
    from tensorflow.python.trackable.resource import CapturableResource  # its public subclass is not all of them

    parts = tf.train.TrackableView(source).descendants() if source is not None else []
    return [part for part in parts if isinstance(part, (CapturableResource, tf.saved_model.Asset))]


def _handles(resources: Sequence[Any]) -> list[tf.Tensor]:
    tables = (part for part in resources if isinstance(part, tf.saved_model.experimental.TrackableResource))
    return [table.resource_handle for table in tables]


def _require_whole(traced: Any, kept: Sequence[tf.Tensor]) -> None:
    """Raise a ValueError if a function uses resources that are not kept with it."""
    known = {id(handle) for handle in kept}
    used = [tensor for tensor, _ in traced.graph.captures if tensor.dtype == tf.resource]
    if any(id(tensor) not in known for tensor in used):
        raise ValueError("it uses a table, or another resource, that is not among the parts of its SavedModel")
