"""Written English to words that can be looked up: numbers, dates, abbreviations, punctuation."""
