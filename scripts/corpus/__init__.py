"""The warm-up corpus: a grammar of reference modules and of faster bodies that compute the same."""
