"""A checkpoint's files: its configuration, its tensors, and which of our parameters they become."""
