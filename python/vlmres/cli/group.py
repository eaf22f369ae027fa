"""How commands end: with an exit code, and what is wrong with a command in one line."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from vlmres.cli import output

# typer's own name for it is private.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


class Command(TyperCommand):
    """A command that refuses a second value of an option that takes one; typer would drop the first in silence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments.

        Raises:
            typer.BadParameter: An option that takes one value is given twice.
        """
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(given).items():
            takes_one = not parameter.multiple and not getattr(parameter, "is_flag", False)
            if times > 1 and parameter.param_type_name == "option" and takes_one:
                message = f"given {times} times; {ctx.command_path} takes one"
                raise typer.BadParameter(message, ctx=ctx, param_hint=parameter.opts[0])
        return super().parse_args(ctx, args)


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
