"""An executor of studies that trains nothing: objectives are a function of the hyperparameters."""

import dataclasses
import math
import random
import time

import records


class Untrained:
    """Ends trials in random order.

    Args:
        lanes: number of trials at once.
        limit: number of trials after which it stops; None for no limit.
        stop: returns whether to stop.
        seconds: time that a trial takes.

    Attributes:
        jobs: the jobs that ended, by run id.
    """

    def __init__(self, lanes=3, limit=None, stop=lambda: False, seconds=0.0):
        self.stop, self.seconds = stop, seconds
        self.slots, self.limit, self.jobs, self._rng = lanes, limit, {}, random.Random(lanes)

    def sized(self, config, num_steps, num_trials):
        return self

    def train(self, next_job, ended, tick, callback):
        running = []
        while self.limit is None or len(self.jobs) < self.limit:
            while len(running) < self.slots and (job := next_job()):
                running.append(job)
            if not running:
                return True
            time.sleep(self.seconds)
            if self.stop():
                return False
            job = running.pop(self._rng.randrange(len(running)))
            self.jobs[job.run_id] = job
            ended(result := record(job.run_id, job.config), {})
            callback.on_end(dataclasses.asdict(result))
        return False


def record(run_id, config):
    """Return the record of a trial: diverged, or with an objective around its learning rate."""
    rate = math.log10(config.lr_init)
    is_feasible = config.input_scale["h"] < 1.5
    objective = (rate + 2) ** 2 + config.l2_decay if is_feasible else None
    fields = {name: getattr(config, name) for name in ("task", "arch", "depth", "train_steps")}
    fields |= {"max_params": config.num_params, "seed": config.seed}
    fields |= {"config": dataclasses.asdict(config), "hparams": config.hparams}
    fields |= {"status": "ok" if is_feasible else "infeasible", "steps_done": config.train_steps}
    fields |= {"metrics": {"eval": {"loss": objective}} if is_feasible else {}}
    return records.record(run_id, objective, **fields)
