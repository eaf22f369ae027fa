"""What `vlmres process` and `vlmres encode` do: images to a folder of shards and a manifest.

`lock` (one run in a folder), `folder` (files that are whole or absent), `shards` (their format), `trial` (files that
end the process that reads them), `base` (a run), `process` and `encode` (the two kinds), `command` (a run under its
command: progress, messages, exit code).
"""
