"""A plain bug. Stopped by: the supervisor's report; the reason is in the candidate's log only."""


def load_model(artifact):
    raise RuntimeError("no such layer")
