"""vlmres beside what people use today: same pixels, same machine, contestants that take turns.

`python -m benches.compare run` measures and prints Markdown tables, `memory` measures peak memory, `write` puts what
they saved into the docs. Run from the root of the repository; peers are those of requirements/bench.txt, and a missing
one is skipped with a line that says so.

- Every library has a process of its own, set up as its users would set it up, which lives for all tables; so no
  allocator, thread pool or environment variable of one touches another. Times are taken inside the process.
- Before anything is timed, every contestant's output is compared with the reference (transformers' own, live). Those
  that claim to be exact must be; the others say how far they are off, in levels of 8 bits.
- A row is measured in rounds. In a round each contestant has one turn: a call that is not timed, to wake its process,
  then one that is. Ratios are taken within a round, so that what else the machine does meets both sides alike.
"""
