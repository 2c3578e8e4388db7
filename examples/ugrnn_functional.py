"""UGRNN layers in a functional model: embedding, mask, `fit`, save and load.

    python examples/ugrnn_functional.py

The model learns whether a text of up to 12 letters has more "a" than "b".
"""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import rnn_zoo

LETTERS = ".abcdefgh"  # code 0 is the padding


def texts(number, seed):
    """Return codes (number, 12), padded with zeros at the end, and answers (number, 1)."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, len(LETTERS), size=(number, 12))
    codes[np.arange(12) >= rng.integers(1, 13, size=(number, 1))] = 0
    return codes, (codes == 1).sum(1, keepdims=True) > (codes == 2).sum(1, keepdims=True)


def build():
    inputs = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(len(LETTERS), 8, mask_zero=True)(inputs)
    x = rnn_zoo.layers.UGRNN(32, return_sequences=True)(x)
    x = rnn_zoo.layers.UGRNN(32, gate_bias=2.0)(x)
    outputs = keras.layers.Dense(1, activation="sigmoid")(x)
    return keras.Model(inputs, outputs)


def main():
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(*texts(4096, seed=0), batch_size=64, epochs=4, verbose=0)
    codes, answers = texts(1024, seed=1)
    _, accuracy = model.evaluate(codes, answers, verbose=0)
    print(f"accuracy {accuracy:.3f} on new texts; {answers.mean():.3f} of them have more a's")
    with tempfile.TemporaryDirectory() as directory:
        model.save(f"{directory}/more_a.keras")
        loaded = keras.saving.load_model(f"{directory}/more_a.keras")
    same = np.array_equal(loaded.predict(codes, verbose=0), model.predict(codes, verbose=0))
    print(f"the loaded model's answers are {'equal' if same else 'different'}")


if __name__ == "__main__":
    main()
