"""The resolution lab: what a strategy and a budget lose of images, measured with a reader."""
