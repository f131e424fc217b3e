"""Commands for those who write the notebooks; nothing here is imported by the notebooks themselves."""
