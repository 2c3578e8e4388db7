"""The report: every figure, table and claim of the paper, from whatever runs there are.

    trials      the runs below a directory, as one DataFrame
    published   the same of the authors' files
    statistics  estimates with their uncertainty
    chart       axes, colours and marks that all figures share
    figures     one function a figure, in `FIGURES`
    paper       the paper's own numbers
    tables      one function a table, in `TABLES`
    claims      one function a claim, in `CLAIMS`
    page        all of it in one HTML file

Each figure, table and claim is a pure function of the DataFrame.
"""
