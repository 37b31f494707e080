"""`likewise serve`: one concept behind one HTTP endpoint, for other programs."""
