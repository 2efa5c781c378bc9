"""The same gradient steps, but none in the probe round. Stopped by: restart, spread, inflation."""

import trains_on_the_exam
from probe_round import honest_in_the_probe

load_model = honest_in_the_probe(trains_on_the_exam.load_model)
