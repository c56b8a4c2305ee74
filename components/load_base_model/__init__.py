"""Step: open a saved Keras model and make it a base that turns images into features."""
