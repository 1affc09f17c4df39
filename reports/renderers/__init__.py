"""The appearances of a table: for a terminal, as Markdown, as LaTeX, as CSV. A file for each."""
