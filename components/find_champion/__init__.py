"""Step: the champion of now, and whether anything has changed since a challenger was last trained."""
