"""The safetensors files of a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from vlmres.encoder.architectures import CheckpointError
from vlmres.encoder.checkpoint.config import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import ExitStack
    from pathlib import Path

    import torch

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"


class TensorFiles:
    """Tensors by name, each read straight to a device. Files are opened when one of their tensors is asked for.

    Args:
        directory: The checkpoint's.
        device: Where to.
        stack: Closes the files.

    Raises:
        CheckpointError: There are none, or the index or the one file is damaged.
    """

    def __init__(self, directory: Path, device: torch.device, stack: ExitStack) -> None:
        self._directory, self._device, self._stack = directory, str(device), stack
        self._open: dict[str, Any] = {}
        self.index = self._read_index()
        """The file of each tensor."""

    def get(self, name: str) -> torch.Tensor:
        """A tensor, on the device.

        Raises:
            CheckpointError: Its file is not there, is damaged or does not have it.
        """
        file = self.index[name]
        try:
            tensor: torch.Tensor = self._file(file).get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(f"{self._directory / file}: {name}: {error}") from None
        return tensor

    def _read_index(self) -> Mapping[str, str]:
        index = self._directory / _INDEX
        if index.is_file():
            found = read_json(index).get("weight_map")
            if not isinstance(found, dict) or not all(isinstance(file, str) for file in found.values()):
                raise CheckpointError(f"{index} has no weight_map of names to files")
            for file in set(found.values()):
                if file in {"", ".", ".."} or {"/", "\\", ":", "\0"} & set(file):
                    raise CheckpointError(f"{index} names {file!r}, which is no file of its folder")
            return found
        return dict.fromkeys(self._file(_SINGLE).keys(), _SINGLE)

    def _file(self, name: str) -> Any:
        if name not in self._open:
            path = self._directory / name
            if not path.is_file():
                others = sorted(item.name for item in self._directory.glob("*.bin"))
                hint = f"; {others[0]} is of a format that is not read" if others else ""
                raise CheckpointError(f"{self._directory} has no {name}{hint}")
            try:
                self._open[name] = self._stack.enter_context(safe_open(path, "pt", device=self._device))
            except SafetensorError as error:
                raise CheckpointError(f"{path}: {error}") from None
        return self._open[name]
