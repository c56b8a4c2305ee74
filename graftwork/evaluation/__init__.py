"""What a classifier's answers are worth: measures, and which of several models is kept. Numbers only, no files."""
