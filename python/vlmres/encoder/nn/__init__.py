"""The model: modules of torch."""
