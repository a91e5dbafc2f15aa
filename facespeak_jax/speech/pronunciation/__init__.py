"""Words to phonemes: the dictionary, heteronyms, respellings, and a model for unknown words."""
