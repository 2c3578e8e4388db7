"""Models and training of public Keras examples, with recurrent layers of a module of choice.

Each is as in the example of its name on keras.io, on synthetic data of the same shapes:

    from benchmarks.examples import EXAMPLES
    model, x, y, batch_size = EXAMPLES["weather"](rnn_zoo.layers)  # or keras.layers
    model.fit(x, y, batch_size)

With `tiny=True` a model has few units and its data are one small batch, for tests.

Legend: B batch, T time.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np

Example = tuple[keras.Model, Any, np.ndarray, int]
#: Number of batches in the data, and in tests.
BATCHES, TINY_BATCHES = 8, 1


def weather(layers: ModuleType, tiny: bool = False) -> Example:
    """Timeseries forecasting for weather prediction: T = 120 hours of 7 measurements."""
    batch_size, time, units = (4, 6, 3) if tiny else (256, 120, 32)
    rng, samples = _data(batch_size, tiny)
    model = keras.Sequential(
        [keras.Input((time, 7)), layers.LSTM(units), keras.layers.Dense(1)], name="weather"
    )
    model.compile(keras.optimizers.Adam(0.001), "mse")
    x = rng.normal(size=(samples, time, 7)).astype("float32")
    return model, x, rng.normal(size=(samples, 1)).astype("float32"), batch_size


def text_generation(layers: ModuleType, tiny: bool = False) -> Example:
    """Character-level text generation with LSTM: the next of 56 characters after T = 40."""
    batch_size, time, units = (4, 6, 3) if tiny else (128, 40, 128)
    rng, samples = _data(batch_size, tiny)
    characters = 56
    model = keras.Sequential(
        [
            keras.Input((time, characters)),
            layers.LSTM(units),
            keras.layers.Dense(characters, activation="softmax"),
        ],
        name="text_generation",
    )
    model.compile(keras.optimizers.RMSprop(0.01), "categorical_crossentropy")
    text = _one_hot(rng.integers(characters, size=(samples, time + 1)), characters)
    return model, text[:, :-1], text[:, -1], batch_size


def addition(layers: ModuleType, tiny: bool = False) -> Example:
    """Number addition with RNNs: the sum of two numbers of up to three digits, as characters."""
    batch_size, units = (4, 3) if tiny else (32, 128)
    rng, samples = _data(batch_size, tiny)
    characters = "0123456789+ "
    model = keras.Sequential(
        [
            keras.Input((7, len(characters))),
            layers.LSTM(units),
            keras.layers.RepeatVector(4),
            layers.LSTM(units, return_sequences=True),
            keras.layers.Dense(len(characters), activation="softmax"),
        ],
        name="addition",
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    pairs = rng.integers(1000, size=(samples, 2))
    # The question is reversed, as in the example.
    questions = [f"{a}+{b}".ljust(7)[::-1] for a, b in pairs]
    answers = [str(a + b).ljust(4) for a, b in pairs]
    x, y = (
        _one_hot(np.array([[characters.index(c) for c in text] for text in texts]), len(characters))
        for texts in (questions, answers)
    )
    return model, x, y, batch_size


def imdb(layers: ModuleType, tiny: bool = False) -> Example:
    """Bidirectional LSTM on IMDB: the sentiment of reviews of T = 200 words out of 20,000."""
    batch_size, time, words, units = (4, 6, 30, 3) if tiny else (32, 200, 20_000, 64)
    rng, samples = _data(batch_size, tiny)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(words, 2 * units),
            keras.layers.Bidirectional(layers.LSTM(units, return_sequences=True)),
            keras.layers.Bidirectional(layers.LSTM(units)),
            keras.layers.Dense(1, activation="sigmoid"),
        ],
        name="imdb",
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    x = rng.integers(words, size=(samples, time)).astype("int32")
    return model, x, rng.integers(2, size=(samples, 1)), batch_size


def seq2seq(layers: ModuleType, tiny: bool = False) -> Example:
    """Character-level sequence-to-sequence model: English of T = 16 to French of T = 59."""
    batch_size, times, units = (4, (5, 6), 3) if tiny else (64, (16, 59), 256)
    rng, samples = _data(batch_size, tiny)
    characters = (71, 93)
    source, target = (keras.Input((None, number)) for number in characters)
    _, *states = layers.LSTM(units, return_state=True)(source)
    decoder = layers.LSTM(units, return_sequences=True, return_state=True)
    outputs, *_ = decoder(target, initial_state=states)
    outputs = keras.layers.Dense(characters[1], activation="softmax")(outputs)
    model = keras.Model([source, target], outputs, name="seq2seq")
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    source, target = (
        _one_hot(rng.integers(number, size=(samples, time)), number)
        for number, time in zip(characters, times, strict=True)
    )
    return model, [source, target], np.roll(target, -1, axis=1), batch_size


def captcha(layers: ModuleType, tiny: bool = False) -> Example:
    """OCR model for reading captchas: 5 of 19 characters in images of 200 x 50, with CTC."""
    batch_size, width, units = (2, 48, 3) if tiny else (16, 200, 64)
    rng, samples = _data(batch_size, tiny)
    characters = 19
    image = keras.Input((width, 50, 1))
    x = image
    for filters in (units // 2, units):
        x = keras.layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Reshape((width // 4, 12 * units))(x)
    x = keras.layers.Dense(units, activation="relu")(x)
    x = keras.layers.Dropout(0.2)(x)
    for number in (2 * units, units):
        layer = layers.LSTM(number, return_sequences=True, dropout=0.25)
        x = keras.layers.Bidirectional(layer)(x)
    # Keras's loss takes logits, and label 0 for blanks.
    model = keras.Model(image, keras.layers.Dense(characters + 1)(x), name="captcha")
    model.compile("adam", keras.losses.CTC())
    x = rng.random(size=(samples, width, 50, 1)).astype("float32")
    return model, x, rng.integers(1, characters + 1, size=(samples, 5)), batch_size


def video(layers: ModuleType, tiny: bool = False) -> Example:
    """Video classification with a CNN-RNN: 5 classes of up to T = 20 frames, each 2048 features."""
    batch_size, features = (4, 12) if tiny else (32, 2048)
    rng, samples = _data(batch_size, tiny)
    time, classes = 20, 5
    frames, mask = keras.Input((time, features)), keras.Input((time,), dtype="bool")
    x = layers.GRU(16, return_sequences=True)(frames, mask=mask)
    x = layers.GRU(8)(x)
    x = keras.layers.Dropout(0.4)(x)
    x = keras.layers.Dense(8, activation="relu")(x)
    model = keras.Model(
        [frames, mask], keras.layers.Dense(classes, activation="softmax")(x), name="video"
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    valid = np.arange(time) < rng.integers(time // 2, time + 1, size=(samples, 1))
    x = rng.random(size=(samples, time, features)).astype("float32") * valid[..., None]
    return model, [x, valid], rng.integers(classes, size=(samples, 1)), batch_size


#: Name -> function of `keras.layers` or `rnn_zoo.layers` that returns a compiled model, its inputs
#: and targets, and its batch size.
EXAMPLES: dict[str, Callable[..., Example]] = {
    "weather": weather,
    "text_generation": text_generation,
    "addition": addition,
    "imdb": imdb,
    "seq2seq": seq2seq,
    "captcha": captcha,
    "video": video,
}


def _data(batch_size, tiny):
    """Return a random generator and the number of samples."""
    return np.random.default_rng(0), batch_size * (TINY_BATCHES if tiny else BATCHES)


def _one_hot(numbers, depth):
    return np.eye(depth, dtype="float32")[numbers]
