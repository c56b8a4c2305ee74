"""Step: let the registry have the challenger, or note why the champion stays."""
