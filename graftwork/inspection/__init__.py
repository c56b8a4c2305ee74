"""What a saved model is, where it would be cut, and what its pixels need: found inside it, or by trying on images."""
