"""The sealed exam: phases that train an agent's file, question what it trained, and score the answers.

docs/exam.md describes the walls, the protocol of language models and their limits; docs/examiner.md any other task.

| here | does |
|---|---|
| `supervise` | phase `train` of every task: runs the training under a hard budget |
| `candidate`, `examine` | the other phases of a language model: `python -m exam.candidate` and so on |
| `examiner`, `sealing` | what the author of another task imports, in its examiner.py and its prepare.py |
| `selftest` | five small exams on one machine |
| `kit/` | what serves every task: the walls, the connection, the result line |
| `language/` | what is special to language models: data, probes, marking, integrity |

Agent code runs only below `supervise` and `candidate`. `examine` never imports, unpickles or
executes anything that the agent wrote.
"""
