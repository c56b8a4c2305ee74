"""Step: compare tonight's images with those that the champion was trained on."""
