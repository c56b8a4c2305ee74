"""What a saved model is, where it would be cut, and what its pixels need: found inside it, or by trying on images.

Opening, cutting and preprocessing are those of `base_models`, as the step load_base_model does them.
"""
