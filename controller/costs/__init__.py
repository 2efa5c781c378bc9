"""Prices of what a campaign does. Pure.

answers      time and memory that a model takes for an answer
call_totals  totals of booked calls, kept call by call
model_calls  dollars for a call of a language model, and its record
forecast     an estimate of what a campaign will take, before it begins
slots        hours and dollars of the slots that tries ran on
strategies   totals for each strategy: proposals, verdicts, kept gain and dollars
"""
