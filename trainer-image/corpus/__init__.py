"""From text to a sealed data folder, and from there to training batches. Agents never edit these files.

| module | does |
|---|---|
| `sources` | finds the text: Python's own library, folders, parquet files, Hugging Face data sets |
| `hub`, `snapshot`, `card` | a data set of the Hugging Face hub: files, one revision in the cache, the card's claims |
| `parquet`, `documents` | read documents, each with the name of where it lay |
| `digestible` | cuts text so that the tokenizer's libraries can take it |
| `tokenizer` | learns, keeps and applies byte-pair tokens |
| `pools` | chooses the documents that each split may draw on, from folders that trainings do not see where possible |
| `hide` | keeps these folders from everybody but one group, in an image |
| `splits` | cuts train, validation, holdout and reserve from them |
| `probes` | makes questions in which the label is in no input |
| `reference` | counts the n-grams of the reference models |
| `recipe` | says what a folder is made from, and what an exam of its sizes takes |
| `folder`, `manifest` | build the folder aside, seal it, and move it to its place whole |
| `arrays` | token ids in memory and on disk |
| `batches` | endless batches of the training text, for `train.py` |
| `errors` | errors, each one sentence for the user |
"""
