"""Uses layers, lanes and a stepper where TensorFlow is missing; a program of other tests."""

import sys

import keras
import numpy as np

import rnn_zoo
import trainer
from trainer.lanes import train_lanes
from trainer.trial import Trial


def run():
    assert "tensorflow" not in sys.modules
    model = keras.Sequential([keras.Input((5, 2)), rnn_zoo.layers.LSTM(3)])
    model.compile("adam", "mse")
    x, y = np.ones((8, 5, 2)), np.zeros((8, 3))
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0], losses
    model.save("model.keras")
    copy = keras.models.load_model("model.keras")
    np.testing.assert_array_equal(copy.predict(x, verbose=0), model.predict(x, verbose=0))
    configs = [
        trainer.TrainConfig("capacity", "rnn", num_params=300, train_steps=20, lr_init=lr)
        for lr in (0.1, 0.01)
    ]
    records = [record for _, record, _ in train_lanes(map(Trial, configs), 2)]
    assert [record.status for record in records] == ["ok", "ok"]
    stepper = rnn_zoo.build_model("gru", 1, 4, 2, 3).stepper()
    assert stepper(np.ones((1, 2))).shape == (1, 3)
    try:
        trainer.tasks.TASKS["memory"]().dataset("train", 2)
    except Exception as error:
        print(error)
