"""Reading answers, verdicts, grading: pure."""
