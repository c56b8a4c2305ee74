"""Opening any saved Keras model as a base: by format, recognised, checked for harm, proven to answer as before.

The step over it is `components.load_base_model`; networks as graphs are in `networks`.
"""
