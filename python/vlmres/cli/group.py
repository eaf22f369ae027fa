"""How commands end: with an exit code, and what is wrong with a command in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from vlmres.cli import output

# Of typer, whose own names for them are private.
_USAGE_ERRORS = typer.BadParameter.__mro__[1:3]


class Commands(TyperGroup):
    """Commands whose errors of usage are one line on the standard error; typer prints a box of six."""

    def main(self, args: Sequence[str] | None = None, *more: Any, standalone_mode: bool = True, **named: Any) -> Any:
        """Runs a command, and exits unless `standalone_mode` is false."""
        if not standalone_mode:
            return super().main(args, *more, standalone_mode=False, **named)
        try:
            code = super().main(args, *more, standalone_mode=False, **named)
        except _USAGE_ERRORS as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # whose help is printed already
                _complain(error)
            code = error.exit_code  # type: ignore[attr-defined]
        except typer.Abort:
            sys.stderr.write("vlmres: aborted\n")
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _complain(error: Any) -> None:
    command = getattr(getattr(error, "ctx", None), "command_path", "vlmres")
    text = " ".join(str(error.format_message()).split()).rstrip(".")
    output.console(stderr=True).print(f"{command}: {text[:1].lower()}{text[1:]} ({command} --help)", soft_wrap=True)
