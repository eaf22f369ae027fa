"""`python -m vlmres.cli` is the command line."""

from vlmres.cli import main

main()
