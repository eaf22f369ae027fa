"""What integrations share at run time: calls are answered, counted, compared and logged, and classes switched off.

Every call goes to vlmres or to the original through `calls.answer`. `counters` counts the answers, `parts` lists which
classes are accelerated and why others are not, `switches` reads `VLMRES_DISABLE`, `shadow` reads `VLMRES_VERIFY`,
`share` divides the processors among processes, `imports` waits for modules, and `log` is the server's logger.
"""
