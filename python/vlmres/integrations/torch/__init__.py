"""vlmres in torch's data loading."""

from vlmres.integrations.torch.collate import shared_collate

__all__ = ["shared_collate"]
