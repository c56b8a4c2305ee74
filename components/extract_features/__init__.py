"""Step: run the frozen base once over every image."""
