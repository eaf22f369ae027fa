"""Contestants, one module per library.

A module's functions take a `Work`, its images and options, do what need not be done per call, and give back the call
to be timed. Only the module's own process imports it.
"""
