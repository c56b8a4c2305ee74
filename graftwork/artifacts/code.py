"""Python code that a model needs besides Keras: a module that registers its classes, or lambdas in its own file."""

import hashlib
import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from graftwork import storage
from graftwork.errors import UserError, in_one_line

FILE = "custom_objects.py"
REGISTERED = "@keras.saving.register_keras_serializable() on each class"


@dataclass(frozen=True)
class CustomCode:
    """What may run, and has to, before a model is opened.

    Attributes:
        modules: Installed modules to import.
        source: The text of a Python file to run, "" for none. It travels inside the model folder.
        trusted: Whether lambdas in the model's own file may run.
    """

    modules: tuple[str, ...] = ()
    source: str = field(default="", repr=False)
    trusted: bool = False

    def __bool__(self) -> bool:
        return self != NO_CODE

    def run(self) -> None:
        """Import the modules and run the source, each once in a process.

        Raises:
            UserError: A module is not there, or fails; says how.
        """
        for module in self.modules:
            try:
                importlib.import_module(module)
            except Exception as error:  # whatever it raises while it is imported
                raise _fails(f"module {module}", error) from error
        if self.source:
            _run(self.source)
        if self.trusted:
            _furnish_lambdas()

    def description(self) -> dict[str, Any]:
        """Return what graftwork.json says of it; the source is a file beside."""
        digest = hashlib.sha256(self.source.encode()).hexdigest() if self.source else ""
        return {"modules": list(self.modules), "source_sha256": digest, "trusted": self.trusted}


NO_CODE = CustomCode()


def requested(custom_objects: str, trusted: bool) -> CustomCode:
    """Return the code that a user names.

    Args:
        custom_objects: An installed module, or a .py file (a path or gs:// URI); "" for none.
        trusted: Whether lambdas in the model's own file may run.

    Raises:
        UserError: There is no such file.
    """
    if not custom_objects.endswith(".py"):
        return CustomCode((custom_objects,) if custom_objects else (), trusted=trusted)
    try:
        return CustomCode(source=storage.read(custom_objects).decode(), trusted=trusted)
    except OSError:
        facts = {"custom_objects": custom_objects, "expected": f"a module or a .py file with {REGISTERED}"}
        raise UserError("the file with custom objects does not exist", facts) from None


def read(folder: Path, description: dict[str, Any]) -> CustomCode:
    """Return the code that a model folder says it needs."""
    file = folder / FILE
    source = file.read_text(encoding="utf-8") if description.get("source_sha256") and file.is_file() else ""
    return CustomCode(tuple(description.get("modules", ())), source, bool(description.get("trusted")))


def _run(source: str) -> None:
    name = f"graftwork_custom_objects_{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if name in sys.modules:  # registering a class twice would make two of it
        return
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(source, FILE, "exec"), module.__dict__)
    except Exception as error:  # whatever it raises
        del sys.modules[name]
        raise _fails("file", error) from error


def _furnish_lambdas() -> None:
    """Let lambdas out of a file find what they usually call: Keras keeps their code, not the modules it names."""
    import keras
    import numpy
    import tensorflow
    from keras.src.utils import python_utils  # in whose namespace Keras runs them

    usual = {"keras": keras, "K": keras.backend, "np": numpy, "ops": keras.ops, "tf": tensorflow}
    for name, module in usual.items():
        vars(python_utils).setdefault(name, module)


def _fails(what: str, error: Exception) -> UserError:
    facts = {what: f"{type(error).__name__}: {in_one_line(error)}"}
    next = f"it has to be installed where the steps run, or be a .py file, and have {REGISTERED}"
    return UserError("the custom objects cannot be imported", facts, next)
