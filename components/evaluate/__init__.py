"""Step: measure every candidate on images it was not trained on, and write the report."""
