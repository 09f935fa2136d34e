"""Many trainings: a plan or a grid, its cells as processes or jobs, and the records that outlive their runs."""
