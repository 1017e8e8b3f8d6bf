"""Strategies: the only room that sees both a policy and an evaluator.

Nothing is imported here: the command line reads the settings of a strategy without what it needs to run.
"""
