"""One module per section, with `items(toy)` and `prepare(**item)`.

`items` lists dicts, most important first. `prepare` compiles one of them and returns a function of
a number of seconds, which measures it for about so long and returns its figures as a dict.
"""

#: Section -> its seconds of nine minutes, in the order of their worth. The last one gets whatever
#: remains, and at least this much.
SHARES = {"machine": 20, "truth": 30, "trials": 120, "steps": 150, "length": 40, "evidence": 180}
