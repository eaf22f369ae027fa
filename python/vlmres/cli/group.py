"""How commands end: with an exit code, and what is wrong with a command in one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from vlmres.cli import output

# typer's own name for it is private.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


class Commands(TyperGroup):
    """Commands whose usage errors are one line on the standard error; typer prints a box of six."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command, and exits unless `standalone_mode` is false."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _USAGE_ERROR as error:
            if not standalone_mode:
                raise
            if type(error).__name__ != "NoArgsIsHelpError":  # its help is printed already
                _complain(error)
            sys.exit(2)
        except typer.Abort:
            if not standalone_mode:
                raise
            sys.stderr.write("vlmres: aborted\n")
            sys.exit(1)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _complain(error: Any) -> None:
    command = getattr(getattr(error, "ctx", None), "command_path", "vlmres")
    text = " ".join(str(error.format_message()).split()).rstrip(".")
    output.console(stderr=True).print(f"{command}: {text[:1].lower()}{text[1:]} ({command} --help)", soft_wrap=True)
