"""Text for people and models: made safe where it comes in, and numbers as people read them.

safe_text    makes text safe that an agent, a training or another program wrote
figures      writes scores, errors, gains, durations and moments
faults       writes an unexpected exception as one line
shell_words  writes a path as a word of a command that people copy
"""
