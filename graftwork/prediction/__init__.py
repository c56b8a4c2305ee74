"""Answers of a finished model, as it will be served: for a few images, and for many.

How good they are is for `evaluation`; which model a user means is for `registry`.
"""
