"""The order in which a study proposes trials and tells their results to the search.

Proposals depend on study.json alone, not on how many trials train at once, which of them ends
first, or when the process is killed. To that end, trials are proposed in batches. Batch k is
proposed once the results of batches 0 to k - 2 have been told, in order, while batch k - 1 is
pending. (An extended study differs from one that was larger from the start, because all its results
were known when it was extended.)
"""

import collections
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from tuning.config import MAX_BATCH
from tuning.study.log import TrialLog

if TYPE_CHECKING:
    from tuning.search.durable import DurableOracle

OBJECTIVE = "objective"
# keras-tuner's statuses: importing them would load Keras.
RUNNING, COMPLETED, FAILED, STOPPED = "RUNNING", "COMPLETED", "FAILED", "STOPPED"


class Schedule:
    """Proposes trials and tells their results to the search, as far as results permit.

    Args:
        oracle: the search, reloaded if it was stopped.
        log: the results; the owner of the schedule appends to it.
        num_trials: number of trials wanted.
        batch: number of trials that are proposed together.

    Attributes:
        num_trials: as above; smaller once the space is exhausted.
        waiting: ids of proposed trials that are not in training yet.
    """

    def __init__(self, oracle: "DurableOracle", log: TrialLog, num_trials: int, batch: int):
        self.num_trials = num_trials
        self._oracle, self._log, self._batch = oracle, log, batch
        # keras-tuner queues trials that were running when it was stopped, and hands them out one
        # per tuner id. They must be running again before their results can be told.
        while oracle._retry_queue:
            oracle.create_trial(f"again-{oracle._retry_queue[-1]}")
        self.waiting = collections.deque(
            run_id for run_id in oracle.start_order if run_id not in log.records
        )

    def values(self, run_id: str) -> dict[str, Any]:
        """Return the hyperparameters of a trial."""
        return self._oracle.trials[run_id].hyperparameters.values

    def origin(self, run_id: str) -> str | None:
        """Return the origin of a trial's hyperparameters; None if the search has lost it."""
        return self._oracle.origins.get(run_id)

    def advance(self) -> None:
        """Tell all results and propose all trials that are due."""
        while action := next_action(
            len(self._oracle.start_order),
            self._is_told,
            self._has_ended,
            self.num_trials,
            self._batch,
        ):
            if action != "propose":
                self._tell(self._oracle.start_order[action[1]])
                continue
            trial = self._oracle.create_trial(f"tuner{len(self._oracle.start_order)}")
            if trial.status == STOPPED:  # the space is exhausted
                self.num_trials = max(1, len(self._oracle.start_order))
                return
            self.waiting.append(trial.trial_id)

    def known(self, run_id: str) -> list[str]:
        """Return the ids of the trials whose results were known when this one was proposed."""
        index = self._oracle.start_order.index(run_id)
        return self._oracle.start_order[: num_known(index, self._batch)]

    def _is_told(self, index):
        return self._oracle.trials[self._oracle.start_order[index]].status != RUNNING

    def _has_ended(self, index):
        return self._oracle.start_order[index] in self._log.records

    def _tell(self, run_id):
        record, trial = self._log.records[run_id], self._oracle.trials[run_id]
        if record.objective is None:
            trial.status, trial.message = FAILED, f"infeasible at step {record.infeasible_at}"
        else:
            self._oracle.update_trial(run_id, {OBJECTIVE: record.objective})
            trial.status = COMPLETED
        self._oracle.end_trial(trial)


def default_batch(num_trials: int, slots: int = 1) -> int:
    """Return the default number of trials that are proposed together.

    The first two batches are proposed without results. With an eighth of the trials per batch, they
    are a quarter of the study. To fill all slots, a batch may grow to a quarter of the trials, so
    that half of the study is still proposed from results. Batches of more than 8 trials are only
    useful if more than 8 train at once.

    Args:
        num_trials: number of trials of the study.
        slots: number of trials that train at once.

    Example:
        default_batch(12) == 1, default_batch(100) == 8, default_batch(100, slots=32) == 25
    """
    return max(1, min(8, num_trials // 8), min(slots, num_trials // 4, MAX_BATCH))


def default_initial_points(num_trials: int, num_free: int) -> int:
    """Return the number of random trials before the search proposes any.

    A Gaussian process needs about one point per dimension, here between 5 and 20. In a short study,
    at most a quarter of the trials are random, but at least two, to leave most to the search.

    Args:
        num_trials: number of trials of the study.
        num_free: number of hyperparameters that are not fixed.

    Example:
        default_initial_points(12, 18) == 3, default_initial_points(1000, 18) == 19
    """
    return min(max(num_free + 1, 5), 20, max(2, num_trials // 4))


def num_known(index: int, batch: int) -> int:
    """Return how many of the first trials must be told before trial `index` is proposed."""
    return max(0, index // batch - 1) * batch


def next_action(
    created: int,
    is_told: Callable[[int], bool],
    has_ended: Callable[[int], bool],
    target: int,
    batch: int,
) -> Literal["propose"] | tuple[Literal["tell"], int] | None:
    """Return the next action of a study.

    The order is: propose batches 0 and 1, tell batch 0, propose batch 2, tell batch 1, and so on.
    It depends on counts alone, so kills and the order in which trials end do not matter.

    Args:
        created: number of trials proposed so far.
        is_told, has_ended: return whether the trial at an index has been told, or has a result.
        target: number of trials wanted.
        batch: number of trials in a batch.

    Returns:
        "propose", ("tell", index), or None if nothing is due until another trial ends.
    """
    must_know = num_known(created, batch)
    if created < target and all(map(is_told, range(must_know))):
        return "propose"
    # Once all are proposed, the rest are told as well.
    may_know = created if created >= target else must_know
    for index in range(may_know):
        if not is_told(index):
            return ("tell", index) if has_ended(index) else None
    return None
