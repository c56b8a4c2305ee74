"""Step: tell whoever wants to know how a retraining ended, however it ended."""
