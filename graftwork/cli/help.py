"""What --help says of options that are settings: what the settings' fields say."""

from typing import Any

from typer.core import TyperGroup

SETTING = "the setting's"
"""The help of an option that is a setting of the same name."""


class Commands(TyperGroup):
    """Commands whose options may be settings."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is called. Only now is its help looked up: the settings are slow to import."""
        name, command, rest = super().resolve_command(ctx, args)
        for option in getattr(command, "params", ()):
            if getattr(option, "help", None) == SETTING:
                from graftwork.config import meaning

                option.help = meaning(option.name)
        return name, command, rest
