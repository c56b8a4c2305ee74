"""Step: label many images with a model."""
