"""The paper's claims, one function each of the DataFrame of `trials.read`, and what runs say of it.

A verdict follows from the rule that the claim states, never from a person. Intervals are of 95 %. A
search finds no more than a bound of what is possible: where a claim is of the best that can be
reached, falling short of it contradicts it only if each study made as many trials as the paper's
(`paper.TRIALS`); before that there are not enough runs.
"""

from tuning.report.claims import capacity, losses, random_trials, searches
from tuning.report.claims.base import CONTRADICTED, SUPPORTED, TOO_FEW, Claim, Finding

__all__ = ["CLAIMS", "CONTRADICTED", "SUPPORTED", "TOO_FEW", "Claim", "Finding"]

#: All claims by name, in the paper's order.
CLAIMS = capacity.CLAIMS | losses.CLAIMS | searches.CLAIMS | random_trials.CLAIMS
