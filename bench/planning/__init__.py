"""What to measure and what is missing for it: recipes, plans, the verbs from Python, the doctor."""
