"""Report of every figure, table and claim of the paper, from the available runs.

    statistics         estimates with their uncertainty
    selection          the trials of a figure, table or claim
    chart              axes, colours and marks shared by all figures
    figures            one function per figure, in `FIGURES`
    paper              the paper's own numbers
    tables             one function per table, in `TABLES`
    claims             one function per claim, in `CLAIMS`
    simulation         random trials under assumed results (`truths`), to test the rules
    plan               the studies (`designs`) that decide the most claims for the least time
    gaps               missing runs, and the commands that make them
    importance         importance of hyperparameters within a study
    objectives         what searches minimise, in words
    page               the whole report as one HTML file
    watch              a report that is made again whenever its runs change
    convert_published  the authors' pickled trials (`pickled`, `authors`) as Parquet

Each figure, table and claim is a pure function of the DataFrame of `tuning.trials`.
"""
