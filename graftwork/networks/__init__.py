"""A network of Keras, whatever it is for: its layers, its graph, and what is done to it before its frozen part runs."""
