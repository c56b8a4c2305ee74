"""The DAGs: which step feeds which."""
