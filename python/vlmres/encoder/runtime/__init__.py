"""Running the model: chunks that fit the memory, CUDA graphs, and preprocessing beside the device's work."""
