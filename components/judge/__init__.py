"""Step: ask champion and challenger about the same test images, and decide."""
