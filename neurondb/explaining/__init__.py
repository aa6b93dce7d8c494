"""Explanations of neurons by programs, and their scores: evidence out, answers in.

evidence.py is what a program is given of a neuron, detection.py the texts that a scorer tells
apart, programs.py runs programs, answers.py reads what they print, asking.py asks about many
neurons at once and stores each answer as it comes.
"""
