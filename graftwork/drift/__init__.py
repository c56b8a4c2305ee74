"""Whether tonight's images are still like those that the champion was trained on."""
