"""Switching vlmres on in a process of vLLM."""

from __future__ import annotations

from vlmres.integrations.operations import log, shadow, share
from vlmres.integrations.operations.counters import counters
from vlmres.integrations.operations.imports import when_imported
from vlmres.integrations.transformers import install
from vlmres.integrations.vllm import gates, media
from vlmres.integrations.vllm.classes import HOOKS
from vlmres.integrations.vllm.constructed import PLACES, install_places
from vlmres.integrations.vllm.hooks import install_hooks

LOGGER = "vllm.vlmres"


def enable() -> None:
    """Switches on all that vlmres does in vLLM, in this process. May be called any number of times.

    Processors of transformers are accelerated where they are loaded; vLLM's own classes when they are imported.

    Raises:
        ValueError: `VLMRES_VERIFY` is no share.
    """
    shadow.share()
    log.use(LOGGER)
    counters.export()
    share.enable()
    install()
    when_imported(gates.MODULE, gates.install_gates)
    install_hooks(HOOKS)
    when_imported(media.PARSER, media.keep_lazy)
    install_places(PLACES)
