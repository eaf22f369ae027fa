"""`python -m vlmres` is the command line."""

from vlmres.cli import main

main()
