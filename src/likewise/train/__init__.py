"""Training: recipes, what each model learns from, the loop, and what a run leaves behind."""
