"""One module per section, with `items(toy)` and `prepare(**item)`.

`items` lists dicts, most important first. `prepare` compiles one of them and returns a function
`measure(seconds)`, which measures for about that long and returns the figures as a dict.
"""

#: Section -> its seconds out of nine minutes, in order of importance. The last section gets all the
#: time that remains, at least this much.
SHARES = {"machine": 20, "truth": 30, "trials": 120, "steps": 150, "length": 40, "evidence": 180}
