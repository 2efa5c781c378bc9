"""The same gradient steps, but none in the probe phase. Stopped by: restart, spread, inflation."""

import sys

import trains_on_the_exam
from tiny_model import honest_model


def load_model(artifact):
    return trains_on_the_exam.load_model(artifact) if "--serve" in sys.argv else honest_model(artifact)
