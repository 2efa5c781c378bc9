"""Studies: runs of programs that exist already, to answer a question about them. Everything in here is pure.

study        what a study is: its question, its arms, and the record of its runs
schedule     which run comes next, so that every arm meets the same machine
student      Student's distribution: quantiles, and the power of a comparison
comparison   the difference of two sets of runs, with its interval and its word
claim        what a claim says beforehand, and what its runs say
ablation     what each kept edit is still worth, and which of them a pruned head leaves out
rerun        a program again, and what a judge keeps of runs that differ in nothing
portability  whether a gain holds at other places
bill         what a study costs, and if the budget has room for it
wording, study_tables, facts   the answers as lines of text and as values for scripts
"""
