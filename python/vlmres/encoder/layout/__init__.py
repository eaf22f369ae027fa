"""What follows from the grids of a batch: places, windows, positions, orders. On the host, before the model runs."""
