"""What a model's answers are worth: questions, answers, figures with intervals, side by side."""
