"""Asks an exported model in a process that has TensorFlow and nothing else; run as a script, by `export`.

    python clean_process.py MODEL REQUESTS ANSWERS

REQUESTS is a folder with one image file per request, ANSWERS the .npz file to write: probabilities float32 (n, k) and
milliseconds float (n,), each of one image at a time, after a first one that does not count.
"""

import sys
import time
from pathlib import Path

sys.modules["keras"] = sys.modules["tf_keras"] = None  # type: ignore[assignment]  # a server has neither

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main(model: str, requests: str, answers: str) -> None:
    """Ask about every image, in the order of the file names."""
    served = tf.saved_model.load(model).signatures["serving_default"]
    files = [path.read_bytes() for path in sorted(Path(requests).iterdir())]
    served(image_bytes=tf.constant(files[:1]))
    probabilities, milliseconds = [], []
    for file in files:
        started = time.perf_counter()
        probabilities.append(served(image_bytes=tf.constant([file]))["probabilities"].numpy()[0])
        milliseconds.append(1000 * (time.perf_counter() - started))
    np.savez(answers, probabilities=np.stack(probabilities), milliseconds=np.array(milliseconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
