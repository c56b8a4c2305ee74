"""Models of Keras 2, opened by tf_keras, rebuilt in Keras 3 with their weights, and proven to answer the same."""
