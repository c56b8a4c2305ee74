"""Step: train the last layers of the base together with the trained head."""
