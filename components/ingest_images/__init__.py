"""Step: the labelled images of one shard of a source are read and checked."""
