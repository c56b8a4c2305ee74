"""Labelled images on their way in: sources, shares of them, and the one path from bytes to pixels.

What passes between steps is in `artifacts`; where files lie is in `storage`.
"""
