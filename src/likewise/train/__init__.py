"""Training: recipes, tasks, their data, the loop and the files of a run."""
