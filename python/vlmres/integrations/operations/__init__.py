"""What the integrations have in common where they run: who answered a call is counted, compared, logged, switched off.

`calls.answer` is the one way in which a call goes to vlmres or to the original. `counters` says afterwards who did the
pixels; `parts` what is on, and what is left and why; `switches` reads `VLMRES_DISABLE`, `shadow` `VLMRES_VERIFY`;
`share` divides the processors among processes; `imports` waits for modules; `log` is the server's logger.
"""
