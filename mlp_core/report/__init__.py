"""The page, its sections and the habits of all figures. Which experiments there are is not known here."""
