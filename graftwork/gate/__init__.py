"""Whether a challenger takes the champion's place: a documented policy, applied by pure functions.

What it looks at is gathered by the step `judge`; what follows from the verdict is in `registry`.
"""
