"""Step: look whether the source has changed since the last run."""
