"""Step: keep the candidate that is better on validation."""
