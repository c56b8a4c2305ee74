"""Step: compare the images of now with those that the champion was trained on."""
