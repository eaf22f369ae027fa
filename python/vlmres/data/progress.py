"""A bar that shows how far an epoch is."""

from __future__ import annotations

from typing import Any


class Progress:
    """A bar of tqdm or rich, whichever is installed. Its unit is a batch.

    Raises:
        ModuleNotFoundError: Neither is.
    """

    def __init__(self, total: int | None, done: int) -> None:
        self._tqdm: Any = None
        self._rich: Any = None
        try:
            from tqdm.auto import tqdm
        except ModuleNotFoundError:
            try:
                from rich.progress import Progress as Bars
            except ModuleNotFoundError:
                raise ModuleNotFoundError("progress=True needs tqdm or rich: pip install tqdm") from None
            self._rich = Bars()
            self._rich.start()
            self._task = self._rich.add_task("loading", total=total, completed=done)
        else:
            self._tqdm = tqdm(total=total, initial=done, unit="batch", desc="loading")

    def advance(self, skipped: int) -> None:
        """One batch more; so many samples were skipped until now."""
        if self._tqdm is not None:
            if skipped:
                self._tqdm.set_postfix(skipped=skipped, refresh=False)
            self._tqdm.update()
        else:
            what = f"loading ({skipped} skipped)" if skipped else "loading"
            self._rich.update(self._task, advance=1, description=what)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._tqdm is not None:
            self._tqdm.close()
        else:
            self._rich.stop()
