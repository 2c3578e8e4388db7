"""The report: every figure, table and claim of the paper, from whatever runs there are.

    trials             the runs below a directory, as one DataFrame
    statistics         estimates with their uncertainty
    selection          the trials of a figure, table or claim
    chart              axes, colours and marks that all figures share
    figures            one function per figure, in `FIGURES`
    paper              the paper's own numbers
    tables             one function per table, in `TABLES`
    claims             one function per claim, in `CLAIMS`
    gaps               missing runs, and the commands that make them
    page               all of it in one HTML file
    convert_published  the authors' pickled trials (`pickled`, `authors`) as Parquet

Each figure, table and claim is a pure function of the DataFrame.
"""
