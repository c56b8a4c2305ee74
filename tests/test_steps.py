"""The door to the steps' components: one name for each, whatever was imported before."""

import subprocess
import sys
from pathlib import Path

import pytest

from graftwork import steps

COMPONENTS = Path(__file__).parent.parent / "components"


def python(code: str) -> str:
    """Run a fresh interpreter in which every warning is an error; return what it prints."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_step_has_its_component_here() -> None:
    assert steps.__all__ == sorted(path.parent.name for path in COMPONENTS.glob("*/component.py"))
    assert dir(steps) == steps.__all__
    for name in steps.__all__:
        assert getattr(steps, name).name == name.replace("_", "-")


@pytest.mark.parametrize(
    "imports",
    [
        "import graftwork.steps; import graftwork.components.prepare_data.component",
        "import graftwork.components.prepare_data.component; import graftwork.steps",
        "from graftwork.components import prepare_data; from graftwork.steps import prepare_data, evaluate",
        "from graftwork.steps import prepare_data, evaluate; from graftwork.components import prepare_data",
        "from graftwork.steps import *; import graftwork.components.prepare_data",
    ],
)
def test_names_do_not_depend_on_what_was_imported_first(imports: str) -> None:
    shown = "print(*(type(place.prepare_data).__name__ for place in (graftwork.steps, graftwork.components)))"
    assert python(f"{imports}; import graftwork.components.prepare_data, graftwork.steps; {shown}") == (
        "PythonComponent module\n"
    )


def test_looking_at_the_names_imports_neither_kfp_nor_tensorflow_and_a_component_only_kfp() -> None:
    loaded = "print(*(name for name in ('kfp', 'tensorflow', 'keras') if name in sys.modules))"
    assert python(f"import sys, graftwork.steps; dir(graftwork.steps); {loaded}") == "\n"
    assert python(f"import sys; from graftwork.steps import judge; {loaded}") == "kfp\n"


def test_a_name_that_is_no_step_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'graftwork\.steps' has no attribute 'prepare_dta'"):
        _ = steps.prepare_dta
    with pytest.raises(ImportError, match="prepare_dta"):
        exec("from graftwork.steps import prepare_dta")
