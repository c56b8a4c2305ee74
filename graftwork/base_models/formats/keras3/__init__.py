"""Whole models of Keras 3, and those in the same kinds of files that older ones saved."""
