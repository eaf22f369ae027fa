"""The command line: `vlmres plan`, `process`, `encode`, `compare`, `lab`, `recipes`, `verify` and `info`."""

import sys

_EXTRAS = {"PIL": "Pillow", "rich": "rich", "safetensors": "safetensors", "typer": "typer"}


def main() -> None:
    """Runs the command line on the process's arguments and exits."""
    try:
        import PIL  # noqa: F401
        import rich  # noqa: F401
        import safetensors  # noqa: F401
        import typer  # noqa: F401
    except ModuleNotFoundError as error:
        missing = _EXTRAS.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        sys.stderr.write(f"vlmres: the command line needs {missing}: pip install 'vlmres[cli]'\n")
        raise SystemExit(2) from None
    from vlmres.cli.app import app

    app(prog_name="vlmres")
