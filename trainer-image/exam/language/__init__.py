"""The exam of a language model, whose inputs contain the labels.

| module | does |
|---|---|
| `candidate`, `model` | phase `candidate`: imports the agent's file, and answers with its model |
| `examine` | asks the questions, scores, and prints the result |
| `session`, `protocol` | one candidate's answers, and the bytes in which they come |
| `dataset` | reads the examiner's data and verifies it |
| `scoring` | turns logits into nats and bits per byte |
| `evaluation` | turns the answers into measurements and scores |
| `integrity` | the six tests, and the upward correction of the score |
| `freshness` | compares a candidate with the reference models on often asked and on fresh text |
| `result` | the fields of the result line |
| `rehearsal`, `selftest` | exams on one machine without sandboxes, for tests and for `python -m exam.selftest` |
"""
