"""Measurements of newtoncg beside its peers; each module runs by itself."""
