"""A preset as a start: load, fine-tune, stream, export to ONNX, and run the export.

pip install 'rnn-zoo[export]' onnxruntime
python examples/presets.py
"""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime

import rnn_zoo
from trainer.export import export_model
from trainer.tasks import TASKS


def main():
    model, task = rnn_zoo.load("parens/gru-10k"), TASKS["parens"]()
    print(model.preset)

    data = task.dataset("train", batch_size=64, seed=1)
    model.compile(keras.optimizers.Adam(1e-4), task.keras_loss())
    history = model.fit(data, steps_per_epoch=10, epochs=2, shuffle=False, verbose=0).history
    print("loss of each epoch:", *(f"{loss:.3f}" for loss in history["loss"]))

    stepper = model.stepper()
    inputs = task.sample("eval", seed=0, batch_size=1).inputs
    streamed = [stepper(inputs[:, t]) for t in range(task.num_steps)]

    with tempfile.TemporaryDirectory() as directory:
        export_model(model, f"{directory}/onnx", "onnx")
        session = onnxruntime.InferenceSession(f"{directory}/onnx/sequence.onnx")
    (outputs,) = session.run(["outputs"], {"inputs": np.asarray(inputs)})
    difference = np.abs(outputs - np.stack(streamed, axis=1)).max() / np.abs(outputs).max()
    print(f"ONNX differs from the stepper by at most {difference:.1e} of the largest output")


if __name__ == "__main__":
    main()
