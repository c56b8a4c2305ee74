"""Step: labelled images, as the user has them, become checked, split and sharded ones."""
