"""Whatever holds an image."""
