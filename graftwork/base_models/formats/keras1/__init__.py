"""Whole models of Keras 1 (HDF5, 2016 to early 2017) as models of tf_keras, nothing in them run."""
