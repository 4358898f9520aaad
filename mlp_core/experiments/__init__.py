"""A folder for each experiment: its settings, configurations, measures, figures, section and claims."""
