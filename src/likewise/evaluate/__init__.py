"""Evaluation in two loops, predict to a folder and score the folder, with reports."""
