"""Step: train a classification head on cached features."""
