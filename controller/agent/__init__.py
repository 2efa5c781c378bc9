"""Who proposes: perturb (no key needed), replay (a series of patches), claude. None knows the executor or the lab."""
