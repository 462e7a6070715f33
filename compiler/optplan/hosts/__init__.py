"""Libraries that run the training loop, a module for each: what they must be told of a plan.

A module imports its library, so that each is imported by who uses that one.
"""
