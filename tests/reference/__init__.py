"""Restatements of authors' code that is in no library. The live library's side is `vlmres.verify.references`."""
