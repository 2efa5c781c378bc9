"""Serves every exam, whatever the candidate is asked.

| module | does |
|---|---|
| `supervise` | phase `train`: runs the training under a hard budget |
| `witness`, `counters` | measure what the machine did meanwhile, from the kernel's counters |
| `network_policy` | waits at the start of a pod until its network is closed |
| `artifact` | checks the folder that a training leaves |
| `supervisor` | phase `candidate`: starts what answers, kills it, and proves that it is dead |
| `session` | the examiner's side of the connection to one candidate process |
| `answer_cost` | adds up the time and the memory that the answers take |
| `wire` | exact sizes and absolute deadlines on that connection |
| `types`, `messages` | what questions and answers may be, and the bytes in which they cross |
| `rounds` | draws the order of the questions |
| `loading`, `manifest` | load the author's examiner and its items, and verify the data |
| `examine` | phase `examine` of a task's own examiner: asks, tests, reports |
| `interviews`, `asking`, `streams` | one item, one question, one raw connection |
| `marking` | turns marks into scores, errors and tests |
| `candidate`, `pump` | phase `candidate`: answers with the agent's `load`, or with a program |
| `result` | the result line: made, written and printed |
| `isolation` | keeps agent code from leaving messages for a later phase |
| `page_cache` | reads all files before agent code begins, so that which are in memory tells it nothing |
| `system_calls` | builds the filter of system calls under which all agent code runs |
| `processes` | ends a whole tree of processes |
| `errors` | errors and exit codes, and reading the environment |
"""
