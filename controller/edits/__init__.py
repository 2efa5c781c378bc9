"""Reads an agent's edited program and refuses it before a training is spent on it. Pure.

names        finds names and arguments that an edit uses and nobody defines
comments     takes the comments out of programs in other languages, so far as lines tell them
novelty      refuses an edit that is too large, does not parse, changes nothing or was tried before
seeding      refuses an edit that chooses its own random seed
seeds        finds what gives a random source its state, under whatever name
seed_values  tells whether a seed's value varies or is fixed
syntax       parses a program once, without comments and layout
"""
