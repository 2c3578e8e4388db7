"""Captions count the trials that a figure shows, and say why it leaves out the others."""

import json

import pytest
from report_rows import capacity, frame, trial

from trainer.tasks.corpus import TEXT8
from tuning.report import generic
from tuning.report.captions import caption
from tuning.report.figures import FIGURES
from tuning.rows import COPY, PRETRAINED


def of(name, *rows):
    table = frame(*rows)
    return caption(FIGURES[name], FIGURES[name].draw(table), table)


def test_captions_say_how_many_trials_of_which_profile():
    rows = [trial("memory", 1.0), trial("memory", 1.0), trial("memory", 1.0, study="t")]
    rows.append(trial("memory", 1.0, study="t", max_params=3000, profile=None))
    rows.append(trial("memory", None, study="t"))
    published = trial("memory", 1.0, source="published", study="u", profile=None)
    assert of("2c") == "No runs yet."
    own = (
        "5 trials, 2 to 3 per study, 1 of them diverged; profile laptop, unknown; "
        "budget 1,000 to 3,000; training steps 60,000 to 120,000."
    )
    assert of("2c", *rows) == own
    theirs = "published: 1 trial, 1 per study; budget 1,000; training steps 60,000."
    assert of("2c", *rows, published) == f"{own} {theirs}"


def test_captions_name_depths():
    rows = [trial("memory", 1.0, depth=depth) for depth in (2, 1)]
    expected = "2 trials, 2 per study; profile laptop; depth 1, 2; budget 1,000; training steps "
    assert of("2c", *rows) == f"{expected}60,000 to 120,000."
    assert "depth 2; budget" in of("2c", *rows[:1]) and "depth" not in of("2c", *rows[1:])


def test_captions_count_the_trials_that_a_study_stopped():
    text = of("2c", *(trial("memory", 0.5, stopped_early=stopped) for stopped in (True, False)))
    assert text.startswith("2 trials, 2 per study, 1 stopped early; profile laptop")


def test_captions_name_task_options_that_are_not_the_defaults():
    text = of("2c", trial("memory", 0.5, setting='{"num_steps": 5, "sha256": "a"}'))
    assert text.startswith("1 trial, 1 per study; profile laptop; num_steps=5; budget 1,000; ")


def test_captions_name_the_training_steps_of_each_optimizer_that_the_paper_lacks():
    rows = [capacity(2.0, optimizer="adam", train_steps=steps) for steps in (500, 2000)]
    muon = capacity(4.0, optimizer="muon", outside='["optimizer"]', train_steps=90_000)
    assert "; training steps 500 to 2,000, 90,000 with muon." in of("1f", *rows, muon)


def test_captions_have_no_control_characters():
    text = of("2c", trial("memory", 0.5, setting=json.dumps({"\x1b[31m": True, "a": "\u202eb"})))
    assert r"; \x1b[31m a=\u202eb; budget" in text
    text = of("2c", trial("memory", 0.5, profile="\x1b[31m"))
    assert r"; profile \x1b[31m;" in text


def test_captions_and_titles_say_that_a_text_is_another_one_than_text8():
    for sha256, words in ((TEXT8.sha256, ""), ("a", "not the full text8")):
        row = trial("text8", 1.5, bits_per_character=2.2, setting=json.dumps({"sha256": sha256}))
        text = of("3a", row)
        assert text.startswith(f"1 trial, 1 per study; profile laptop{words and '; '}{words}; bud")
        (title, *_) = (panel.title for panel in generic.panels(frame(row)).values())
        assert title == f"Loss by number of parameters{words and ', '}{words}"


def test_captions_name_the_architectures_with_fewer_trials_and_those_that_pool_settings():
    rows = [trial("memory", 0.5, study="r") for _ in range(3)]
    rows += [trial("memory", 0.5, study=name, arch="gru") for name in ("g", "g", "h")]
    text = of("2c", *rows)
    assert text.startswith("6 trials, 1 to 3 per study;") and "At most 2 of GRU per study." in text
    rows[0]["fixed"] = json.dumps({"batch_size": 4})
    assert "Pools batch_size not set, 4, of RNN alone." in of("2c", *rows)


def test_captions_say_how_many_trials_the_search_proposed():
    rows = [trial("memory", 0.5, origin=origin) for origin in ("first", "random", "search")]
    assert of("2c", *rows).startswith("3 trials, 3 per study, 1 proposed by the search;")


def test_the_papers_figures_name_the_settings_that_they_pool():
    rows = [
        trial(
            "memory", 0.5, fixed=json.dumps({"search": "gp", "lr_init": rate, "batch_size": size})
        )
        for rate in (0.01, 0.005)
        for size in (8, 4)
    ]
    assert " Pools batch_size 4, 8 and lr_init 0.005, 0.01." in of("2c", *rows)
    assert "Pools" not in of("2c", rows[0], rows[0])


def test_settings_that_differ_along_a_line_are_named():
    """The points of one line have one size each, so no two trials are pooled."""
    single = {"profile": None, "iteration": None}
    own = [
        trial("memory", 0.5, max_params=size, num_params=size, **single, fixed=json.dumps(fixed))
        for size, fixed in (
            (300, {"batch_size": 4, "arch_options.shape": "plain", "l2_decay": 0}),
            (400, {"batch_size": 16, "arch_options.shape": "minus", "l2_decay": 0}),
        )
    ]
    words = "Points of one architecture differ in shape, batch_size."
    for name in ("memory-parameters", "memory-units"):
        panel = generic.panels(frame(*own))[name]
        assert words in caption(panel, panel.draw(frame(*own)), frame(*own))
    table = frame(own[0], own[1] | {"arch": "gru"})
    panel = generic.panels(table)["memory-parameters"]
    assert "differ" not in caption(panel, panel.draw(table), table)


def test_what_is_pooled_is_said_of_each_optimizer_alone():
    """One that the paper lacks has marks of its own, with fewer or more settings pooled."""

    def runs(optimizer, *rates):
        rows = ({"optimizer": optimizer, "lr_init": rate, "search": None} for rate in rates)
        single = {"profile": None, "iteration": None, "optimizer": optimizer}
        return [trial("memory", 0.5, **single, fixed=json.dumps(row)) for row in rows]

    def of_generic(*rows):
        table = frame(*rows)
        panel = generic.panels(table)["memory-parameters"]
        chart = panel.draw(table)
        return list(chart._entries), caption(panel, chart, table)

    names, text = of_generic(*runs("adam", 0.01), *runs("adamw", 0.01))
    assert names == ["RNN", "RNN, adamw"] and "Pools" not in text
    assert "Pools" not in of("2c", *runs("adam", 0.01), *runs("adamw", 0.01))
    names, text = of_generic(
        *runs("adam", 0.1, 0.2), *runs("adamw", *(rate / 100 for rate in range(1, 10)))
    )
    assert names == ["RNN, lr_init 0.1", "RNN, lr_init 0.2", "RNN, adamw"]
    assert "Pools lr_init 0.01, 0.02, 0.03, 0.04, 0.05 and others." in text


def test_a_setting_that_only_other_lines_tell_apart_is_named():
    def trials(size, activation, **values):
        fixed = json.dumps({"activation": activation, "search": "gp"})
        return trial("memory", 0.5, max_params=size, num_params=size, fixed=fixed, **values)

    rows = [trials(size, s) for size in (200, 300) for s in ("tanh", "relu")]
    rows += [trials(200, "tanh", optimizer="lion"), trials(300, "relu", optimizer="lion")]
    table = frame(*rows)
    panel = generic.panels(table)["memory-parameters"]
    chart = panel.draw(table)
    assert [*chart._entries][:3] == ["RNN, activation relu", "RNN, activation tanh", "RNN, lion"]
    assert "Points of one architecture differ in activation." in caption(panel, chart, table)
    table = table[table.optimizer != "lion"]
    assert "differ" not in caption(panel, panel.draw(table), table)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"is_rerun": True}, "1 from reruns"),
        ({"depth": 3}, "1 at other depths"),
        ({"optimizer": "muon", "algorithm": "random"}, "1 with muon"),
        ({"profile": "smoke"}, "1 of the smoke profile"),
        ({"setting": '{"num_steps": 9}'}, "1 in other settings of the task (num_steps=9)"),
        ({"profile": "paper", "max_params": 2000}, "1 at other budgets (2,000)"),
        ({"outside": '["lr_init"]'}, "1 with hyperparameters outside the paper's ranges"),
        ({"max_params": 2000}, "1 at other budgets (2,000)"),
        ({"algorithm": "gp"}, "1 of gp search"),
        ({"held": '["activation"]'}, "1 with held hyperparameters"),
        ({"narrowed": '["activation"]'}, "1 with narrowed ranges"),
        ({"stopped_early": True}, "1 of studies that stop trials early"),
        ({"origin": "first"}, "1 with given hyperparameters"),
    ],
)
def test_every_reason_to_leave_trials_out_is_given(values, reason):
    rows = [trial("parens", 1.0, algorithm="random") for _ in range(3)]
    rows.append(trial("parens", 1.0, **({"algorithm": "random", "study": "other"} | values)))
    assert of("5a", *rows).endswith(f"Not drawn: {reason}.")


def test_a_value_that_no_figure_leaves_out_is_no_reason():
    """The trials of the figure differ from the others in that they are unusual."""
    rows = [trial("parens", 1.0, algorithm="random", setting='{"T": 9}') for _ in range(3)]
    rows.append(trial("parens", 1.0, algorithm="random", profile="paper"))
    assert of("5a", *rows).endswith("Not drawn: 1 in other settings of the task (default options).")
    unusual = {"optimizer": "muon", "outside": '["lr_init"]', "held": '["lr_init"]'}
    rows = [trial("memory", 1.0, **unusual)] * 2 + [trial("memory", 1.0, max_params=2000)]
    table = frame(*rows)
    panel = generic.panels(table)["memory-trials"]
    text = caption(panel, panel.draw(table), table)
    assert text.endswith("Not drawn: 1 at other budgets (2,000).")


def test_trials_that_the_report_leaves_out_are_counted():
    rows = [{"excluded": PRETRAINED}, {"excluded": PRETRAINED}, {"excluded": COPY}]
    excluded = frame(
        *(trial("memory", 1.0, **row) for row in rows), trial("rcf", 1.0, excluded=COPY)
    )
    table = frame(trial("memory", 1.0), trial("memory", 1.0, arch="gru", is_rerun=True))
    text = caption(FIGURES["2c"], FIGURES["2c"].draw(table), table, excluded)
    assert text.endswith(
        "Not drawn: 1 from reruns, 2 from trained weights, 1 with the settings and results of "
        "another. No trial of GRU is drawn."
    )
    text = caption(FIGURES["3e"], None, frame(), excluded)
    assert text == "No runs yet. Not drawn: 1 with the settings and results of another."


def test_shorter_searches_and_lost_architectures_are_named():
    rows = [trial("parens", 1.0, study="long")] * 3 + [trial("parens", 1.0, study="short")] * 2
    rows += [trial("parens", None, arch="my_cells.leaky", study="other", train_steps=10**5)]
    text = of("4a", *rows)
    assert text.startswith("4 trials, 1 to 3 per study, 1 of them diverged;")
    assert "All trials of my_cells.leaky diverged. Not drawn: 2 of shorter studies." in text


def test_architectures_without_the_measure_are_named():
    rows = [trial("text8", 1.0, bits_per_character=1.4), trial("text8", 1.0, arch="gru")]
    assert of("3a", *rows).endswith("All trials of GRU lack this measure.")


def test_a_figure_without_a_run_says_what_it_needs():
    need = "Needs several depths; 1b to 1d show one each."
    assert of("1a", capacity(1.0)) == f"None of 1 trial of capacity fits. {need}"
    assert of("2c", trial("memory", None)) == "All of 1 trial diverged."
    assert of("5b", trial("parens", 1.0)) == "None of 1 trial of parens fits."
