"""Whether a challenger takes the champion's place: a documented policy, applied by pure functions."""
