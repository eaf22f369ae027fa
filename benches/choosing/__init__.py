"""How `vlmres.choose` does on pages that its constants were not set on, with a reader as the judge.

`pages` draws them from a seed, `judge` reads what each budget keeps of a page, `__main__` prints the tables.
"""
