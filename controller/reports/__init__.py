"""Tells people about a campaign: terminal, report, live page, exports. Nothing here decides or writes to the lab.

snapshot        where a running campaign stands, in one value
summary         the same for a lab that nobody runs
activity        words for a campaign's activity
yields          what each strategy and each proposer has brought, as cells for terminal and page
text            the sentences and lines that terminal, page and report share
terminal        rows and live lines of a run, tables, and the parts of one experiment, drawn by rich
exports         records for scripts: results.tsv, its wide form, JSON
report          report.md and report.html
page            the live page and the page of one experiment
svg_chart       the chart of all experiments, as SVG
ablation_chart  the chart of an ablation: what each kept edit is still worth
"""
