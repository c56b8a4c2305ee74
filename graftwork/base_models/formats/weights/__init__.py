"""Files that hold weights and no architecture, put into networks of keras.applications."""
