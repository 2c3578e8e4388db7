"""A cell of your own: with its layer, trainer, lanes and tuner, from a few lines.

    python examples/custom_cell.py

The commands find it by its dotted name, from this directory:

    python -m trainer --task=memory --arch=custom_cell.slow
    python -m tuning --task=memory --arch=custom_cell.slow --num_trials=20
"""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import rnn_zoo


class SlowCell(rnn_zoo.AbstractRNNCell):
    """Fast units and slow ones, which only leak (after Mikolov et al. 2015).

    c = 0.95 c + 0.05 (W^c x + U^c h + b^c),  h = s(W^h x + U^h h + b^h + c)
    """

    gates = ("c", "h")
    state_names = ("h", "c")

    def step(self, ops, x, pre, states):
        h, c = states
        c = 0.95 * c + 0.05 * pre("c", h)
        h = self.activation(pre("h", h) + c)
        return h, [h, c]


Slow = rnn_zoo.register("custom_cell.slow", SlowCell)


def main():
    from trainer import TrainConfig
    from trainer.lanes import train_lanes
    from trainer.trial import Trial
    from tuning.config import StudyConfig
    from tuning.study.executors import InProcess
    from tuning.study.study import Study

    x = np.ones((2, 7, 5), "float32")
    print("layer:", Slow(16, return_sequences=True)(x).shape)
    model = rnn_zoo.build_model("custom_cell.slow", depth=2, units=16, input_dim=5, output_dim=3)
    counted = rnn_zoo.count_params("custom_cell.slow", 2, 16, 5, 3)
    print("parameters:", model.count_params(), "counted in advance:", counted)

    base = {"task": "memory", "arch": "custom_cell.slow", "num_params": 5000, "train_steps": 200}
    trials = [Trial(TrainConfig(lr_init=lr, eval_samples=256, **base)) for lr in (0.01, 0.001)]
    for trial, record, _ in train_lanes(trials, lanes=2):
        lr, chance = trial.config.lr_init, record.chance_loss
        print(f"a lane: lr {lr}, eval loss {record.eval_loss:.4f}, chance {chance:.4f}")

    with tempfile.TemporaryDirectory() as directory:
        search = StudyConfig(num_trials=2, ranges={"optimizer": "adam", "lr_init": (3e-3, 3e-2)})
        study = Study(directory, trials[0].config, search)
        best, _ = study.run(InProcess(lanes=2))
    print(f"tuned: trial {best.run_id}, valid loss {best.valid_loss:.4f}")


if __name__ == "__main__":
    main()
