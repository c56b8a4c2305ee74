"""Step: images that have been read become checked, split and sharded ones."""
