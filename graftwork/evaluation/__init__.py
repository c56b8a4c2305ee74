"""What a classifier's answers are worth: measures, and which of several models is kept.

Numbers only: the model is asked in `prediction`, files are written by the step `evaluate`.
"""
