"""--help: every option says something, and those that are settings what the settings say."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from graftwork import config
from graftwork.cli.help import SETTING
from graftwork.cli.main import app

OF_SETTINGS = {
    "run": {
        *("data", "base_model", "preprocessing", "architecture", "custom_objects", "trust_code", "output"),
    },
    "retrain": {"registry", "name", "data", "base_model", "output"},
    "inspect": {"preprocessing", "input_size", "feature_layer", "architecture", "custom_objects", "trust_code"},
    "demo": {"output"},
    "list": {"registry"},
    "promote": {"registry"},
    "serve-manifest": {"registry"},
}


def commands(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield every command as it is called, and those of the groups inside."""
    for name in group.commands:
        _, command, _ = group.resolve_command(group.make_context(None, [name], resilient_parsing=True), [name])
        yield name, command
        if hasattr(command, "commands"):
            yield from commands(command)


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_something(name: str) -> None:
    for option in COMMANDS[name].params:
        assert option.help not in (None, "", SETTING), option.name


@pytest.mark.parametrize("name", OF_SETTINGS)
def test_an_option_that_is_a_setting_says_what_the_setting_says(name: str) -> None:
    said = {option.name: option.help for option in COMMANDS[name].params}
    assert {key: said[key] for key in OF_SETTINGS[name]} == {key: config.meaning(key) for key in OF_SETTINGS[name]}


def test_the_list_of_commands_does_not_wait_for_the_settings() -> None:
    code = (
        "import sys; from graftwork.cli.main import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
