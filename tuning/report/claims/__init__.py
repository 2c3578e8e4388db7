"""The paper's claims, each checked by a function of the DataFrame of `trials.read`.

The verdict on a claim follows from its stated rule alone, on trials above the floors of `floors`.
Intervals have a level of 95 %. A search finds only a lower bound on the best possible result. Bests
are compared as values only if half of the trials and half of the steps reach nearly as much. A
result that falls short of a claim about the best result contradicts it only if each study ran at
least as many trials as the paper's (`paper.TRIALS`); until then the verdict is "not enough runs".
"""

from tuning.report.claims import capacity, losses, random_trials, searches
from tuning.report.claims.base import CONTRADICTED, SUPPORTED, TOO_FEW, Claim, Finding

__all__ = ["CLAIMS", "CONTRADICTED", "SUPPORTED", "TOO_FEW", "Claim", "Finding"]

#: All claims by name, in the paper's order.
CLAIMS = capacity.CLAIMS | losses.CLAIMS | searches.CLAIMS | random_trials.CLAIMS
