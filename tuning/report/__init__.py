"""Report of every figure, table and claim of the paper, and of any other task and cell.

    statistics         estimates with their uncertainty
    selection          the trials of a figure, table or claim
    style              Matplotlib style, and the colour and marker of each architecture
    chart              axes and marks shared by all figures (`ticks`, `keys`)
    drawing            kinds of figures: by size, by trial
    figures            one function per figure of the paper, in `FIGURES`
    generic            figures of any task, also outside the paper
    captions           the trials that a figure shows, and those that it leaves out
    paper              the paper's own numbers
    tables             one function per table, in `TABLES`
    claims             one function per claim, in `CLAIMS`
    simulation         random trials under assumed results (`truths`), to test the rules
    plan               the studies (`designs`) that decide the most claims for the least time
    gaps               missing runs, and the commands that make them
    importance         importance of hyperparameters within a study
    objectives         what searches minimise, in words
    page               the whole report as one HTML file
    watch              rebuilds a report whenever its runs change
    convert_published  the authors' pickled trials (`pickled`, `authors`) as Parquet

Each figure, table and claim is a pure function of the DataFrame of `tuning.trials`.
"""
