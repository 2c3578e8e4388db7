"""What the report says of the number that searches minimise."""

from report_rows import capacity, frame, trial

from tuning.report import objectives


def test_each_task_has_its_objective_with_chance_and_best():
    rows = [
        capacity(300.0, chance_loss=0.69),
        capacity(200.0, chance_loss=0.69),
        trial("parens", 3.0, chance_loss=18.21),
        trial("parens", None, chance_loss=4.5),
    ]
    table = objectives.describe(frame(*rows)).set_index("task")
    assert table.chance.to_dict() == {"capacity": "0", "parens": "4.5 to 18.21"}
    assert table.best.to_dict() == {"capacity": -300.0, "parens": 3.0}
    assert table.trials.to_dict() == {"capacity": 2, "parens": 2}
    assert "(22)" in table.objective["capacity"]


def test_the_objective_of_an_open_task_follows_from_its_trials():
    rows = [
        trial("parity", 0.4, valid_loss=0.4, chance_loss=0.69),
        trial("parity", None, chance_loss=0.69),
        trial("copying", -0.9, valid_loss=0.4, chance_loss=0.69),
    ]
    table = objectives.describe(frame(*rows)).set_index("task")
    assert table.objective.to_dict() == {
        "copying": "the task's own objective",
        "parity": "the task's loss",
    }
    assert table.chance.to_dict() == {"copying": "–", "parity": "0.69"}
