"""Running the model: chunks that fit into memory, CUDA graphs, and preprocessing that overlaps with the device."""
