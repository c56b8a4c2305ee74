"""What a running step tells people: progress, notes, measured speed, HTML pages.

What the terminal makes of it is in `reporting.display`; measures of a model are in `evaluation`.
"""
