"""A network of Keras, whatever it is for: its layers, its graph, and what is done before its frozen part runs.

Opening and cutting saved ones is in `base_models`; training them, in the steps.
"""
